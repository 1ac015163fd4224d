"""Recipes of tokenizers."""

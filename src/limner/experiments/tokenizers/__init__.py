"""Experiments of tokenizers."""

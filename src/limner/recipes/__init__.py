"""Recipes: one file per published system."""

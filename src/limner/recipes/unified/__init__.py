"""Recipes of models that see and draw."""

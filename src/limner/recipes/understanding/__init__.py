"""Recipes of models that understand pictures."""

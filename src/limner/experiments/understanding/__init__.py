"""Experiments of models that understand pictures."""

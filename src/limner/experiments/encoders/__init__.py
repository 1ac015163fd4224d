"""Experiments of encoders."""

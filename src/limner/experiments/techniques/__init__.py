"""Experiments behind the claims of techniques."""

"""Experiments of generators."""

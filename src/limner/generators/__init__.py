"""Generators: a distribution over token sequences, put together from order, backbone, head and condition."""

"""Generators: a distribution over token sequences, composed of order, backbone, head and condition."""

"""Noise processes as pure functions of a network given as a callable."""

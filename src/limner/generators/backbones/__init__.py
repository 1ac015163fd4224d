"""Backbones: token embeddings and their steps to contexts, one per wanted token, that see earlier steps only."""

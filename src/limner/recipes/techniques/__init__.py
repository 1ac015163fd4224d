"""Techniques: what changes a trained model, or how it draws, without training."""

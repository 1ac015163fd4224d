"""Bottlenecks of an autoencoder, one idea per file: nothing, a Gaussian posterior, a codebook."""

"""Heads: the distribution of one token given its context, one idea per file."""

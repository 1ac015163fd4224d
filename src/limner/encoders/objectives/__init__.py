"""How an encoder learns from captions: one objective per file."""

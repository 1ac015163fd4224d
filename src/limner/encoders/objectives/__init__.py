"""How an encoder is taught by captions: one objective per file."""

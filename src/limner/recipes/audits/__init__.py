"""Published ways to measure models: nothing to train, claims to prove."""

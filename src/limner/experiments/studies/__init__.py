"""Studies: pre-registered hypotheses, each with its controls; see `limner study`."""

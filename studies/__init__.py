"""Studies: pre-registered hypotheses, each with its controls; they import limner and run from a checkout."""

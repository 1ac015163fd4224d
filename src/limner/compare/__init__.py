"""Recipes side by side: equal data, compute and parameters, and what each makes of them. `limner compare` runs it."""

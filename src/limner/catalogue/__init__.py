"""The catalogue: every published system that limner is to hold, and how far each has come. Imports no torch."""

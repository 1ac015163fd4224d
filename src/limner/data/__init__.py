"""Data sets: embedded worlds that need no network, and readers of the usual formats; numpy and Pillow only."""

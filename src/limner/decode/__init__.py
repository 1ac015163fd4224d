"""Drawing: the one sampling loop, and what makes it faster."""

"""How models are trained: data and loss together."""

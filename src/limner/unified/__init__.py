"""Models that see, speak and draw, composed around one language model."""

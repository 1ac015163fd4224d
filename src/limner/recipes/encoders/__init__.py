"""Networks that look: those that judge pictures, and those that captions teach."""

"""Networks that look at pictures: judges of likeness and of prompts, and encoders that captions teach."""

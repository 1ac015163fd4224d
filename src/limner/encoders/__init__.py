"""Networks that look at pictures: the judges of likeness and of prompts."""

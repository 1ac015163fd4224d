"""What a user holds: models that draw, models that see, and one that does both."""

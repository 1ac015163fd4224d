"""The small experiments behind the claims of recipes: one file per recipe, at the same path."""

"""Language: text to subwords."""

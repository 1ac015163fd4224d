"""Tokenizers: pictures to tokens and back."""

"""From what an encoder sees to vectors that a language model reads, one idea per file."""

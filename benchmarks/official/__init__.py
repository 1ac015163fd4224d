"""The authors' own code, called by its own entry points: one file per system, each with ``build(folder, ...)``.

``folder`` holds clones under the names of their repositories: VAR, LlamaGen, 1d-tokenizer, mar, xAR. None of that code
is here.
"""

"""The vocabulary of another model: what lets two models have the same words."""

from __future__ import annotations

from limner.errors import InputError
from limner.languages.subwords import Subwords
from limner.store.folder import load


def subwords_of(name: str, *, most: int, length: int) -> Subwords:
    """A model's subwords, for captions of ``length``; raises `InputError` if it has none, or more than ``most``."""
    model = load(name)
    reader = getattr(model, "vision_language", model)  # of one that also draws
    own = getattr(reader, "vocabulary", getattr(reader, "subwords", None))
    if not isinstance(own, Subwords):
        raise InputError(f"{name} has no subwords: give a model that reads captions, or leave --subwords out")
    if len(own) > most:
        raise InputError(f"{name} has {len(own)} subwords, more than --vocabulary {most}: raise it")
    taken = Subwords(length)
    taken.vocabulary = own.vocabulary
    return taken

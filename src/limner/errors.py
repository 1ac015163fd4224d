"""The one family of errors that limner raises on purpose: a sentence that names the input, the cause and the remedy."""

from __future__ import annotations

import re

# What a terminal obeys or a file cannot hold: control characters but for tab and new line, marks that turn the
# direction of writing, halves of characters.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """A text as a terminal or a page may show it: what would act on them is spelled as Python spells it."""
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class LimnerError(Exception):
    """Base of every error limner raises on purpose; the command line prints its one sentence and exits with 2."""


class InputError(LimnerError, ValueError):
    """What the user gave cannot be used: a wrong path, shape, name, number or file."""


class CheckpointError(LimnerError, RuntimeError):
    """A saved model or run is incomplete, damaged or does not fit the code that reads it."""


class ProtocolError(LimnerError, ValueError):
    """Two scores were compared although they were measured by different protocols."""


class DivergedError(LimnerError, RuntimeError):
    """Training met non-finite losses or gradients more often than it may skip."""

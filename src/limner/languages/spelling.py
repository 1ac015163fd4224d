"""Calls of the library that spells texts in subwords: what it cannot read, and what it dies of, in one sentence."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from limner.errors import InputError

_HALVES = re.compile("[\ud800-\udfff]")
PANIC = "pyo3_runtime"  # where the class of what Rust code dies of seems to live: it is no `Exception`


def whole_texts(texts: Iterable[str]) -> list[str]:
    """The texts; raises `InputError` for one with half a character, which no file and no vocabulary can hold."""
    given = list(texts)
    for text in given:
        if found := _HALVES.search(text):
            raise InputError(
                f"{text[max(found.start() - 20, 0) :][:40]!r} holds half a character ({found[0]!r}, a lone surrogate): "
                "write the text anew as UTF-8"
            )
    return given


@contextmanager
def no_panic() -> Iterator[None]:
    """Within it, a vocabulary that the library dies of raises `InputError`."""
    try:
        yield
    except Exception:
        raise
    except BaseException as error:
        if type(error).__module__ != PANIC:
            raise
        reason = (str(error).splitlines() or ["without a word"])[0][:120]
        raise InputError(f"this vocabulary cannot be used ({reason}): copy or save the model again") from None

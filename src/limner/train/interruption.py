"""Signals that end a run: the step is finished, the run saved, and its exit code says that it is to go on.

128 + signal    by SIGINT (Ctrl-C), SIGTERM (a scheduler) or SIGHUP (the terminal has gone)
75              by its own --minutes; EX_TEMPFAIL of sysexits.h: the same command goes on
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

UNFINISHED = 75


@contextmanager
def interruption() -> Iterator[list[int]]:
    """Collect the first of these signals in a list instead of dying from it; a second one acts at once."""
    received: list[int] = []
    watched = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup ignores it
        watched.append(signal.SIGHUP)

    def note(number: int, _frame: Any) -> None:
        received.append(number)
        for one, handler in previous.items():
            signal.signal(one, handler)

    previous = {one: signal.getsignal(one) for one in watched}
    try:
        for one in watched:
            signal.signal(one, note)
    except ValueError:  # not the main thread: the caller's handlers stay
        yield received
        return
    try:
        yield received
    finally:
        for one, handler in previous.items():
            signal.signal(one, handler)


def exit_code(number: int | None) -> int:
    """Of a run that a signal stopped; None: its own time limit."""
    return UNFINISHED if number is None else 128 + number

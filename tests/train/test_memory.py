"""Memory kept by the process while it trains."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from limner.train.memory import freed_memory_kept
from limner.train.memory import glibc as c_library

glibc = pytest.mark.skipif(c_library() is None, reason="needs glibc")
PAGES = 16_384  # of 4 KiB: a tensor of 64 MiB


def resident() -> int:
    """Pages of this process that lie in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1])


@glibc
def test_what_is_freed_inside_stays_and_is_given_back_after() -> None:
    with freed_memory_kept():
        torch.ones(PAGES * 1024)
        before = resident()
        torch.ones(PAGES * 1024)
        assert resident() > before - PAGES // 2
        kept = resident()
    assert resident() < kept - PAGES // 2


@glibc
def test_it_is_given_back_when_the_training_fails() -> None:
    seen: list[int] = []

    def fail() -> None:
        with freed_memory_kept():
            torch.ones(PAGES * 1024)
            seen.append(resident())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert resident() < seen[0] - PAGES // 2

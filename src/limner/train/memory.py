"""Memory that a training step frees stays with the process until the training ends.

A step frees tens of megabytes and wants them again at once. The C library of Linux gives blocks of that size back to
the kernel, which hands them out anew page by page, each filled with zeros: a fifth of a small model's step on a CPU.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4  # names of `mallopt`, see malloc.h of glibc
KEPT = {MMAP_MAX: 0, TRIM_THRESHOLD: 2**31 - 1, TOP_PAD: 2**26}
USUAL = {MMAP_MAX: 65536, TRIM_THRESHOLD: 2**17, TOP_PAD: 2**17}


def glibc() -> ctypes.CDLL | None:
    """The C library, if it is the one that these names are of."""
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    return library if hasattr(library, "malloc_trim") else None


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Inside, the process keeps what it frees; afterwards it gives back what it can. Does nothing without glibc."""
    library = glibc()
    if library is None:
        yield
        return
    for name, value in KEPT.items():
        library.mallopt(name, value)
    try:
        yield
    finally:
        for name, value in USUAL.items():
            library.mallopt(name, value)
        library.malloc_trim(0)

"""What a data set is: a map from an index to an example, the same example forever."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8


@dataclass(frozen=True)
class Example:
    """A picture and what is known about it: ``image`` ``[h, w, 3]`` uint8, ``caption``, and ``label`` (-1: none)."""

    image: UInt8[np.ndarray, "h w 3"]
    caption: str
    label: int = -1


@runtime_checkable
class Source(Protocol):
    """A map-style data set: index -> the same example forever, so that training resumes exactly by counting images."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Example: ...

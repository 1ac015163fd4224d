"""Several choices as one id: the digits of a number in mixed radix, the first digit the least significant.

``id = k_1 + r_1 k_2 + r_1 r_2 k_3 + ...`` with ``0 <= k_i < r_i``: so a token of several codes, levels or bits stays
one number, and whoever wants its parts takes it apart again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Int
from torch import Tensor

from limner.errors import InputError


@runtime_checkable
class Composed(Protocol):
    """A quantizer whose ids have digits, each less than its radix."""

    radices: tuple[int, ...]


def capacity(radices: Sequence[int]) -> int:
    """How many ids there are; raises `InputError` if they do not fit into 63 bits."""
    entries = math.prod(radices)
    if entries > 2**63:
        raise InputError(f"{len(radices)} choices make {entries} ids, and an id has 63 bits: take fewer choices")
    return entries


def compose(digits: Int[Tensor, "*t k"], radices: Sequence[int]) -> Int[Tensor, "*t"]:
    """One id for each row of digits."""
    return (digits.long() * _places(radices, digits.device)).sum(-1)


def decompose(ids: Int[Tensor, "*t"], radices: Sequence[int]) -> Int[Tensor, "*t k"]:
    """The digits of each id: the inverse of `compose`."""
    radix = torch.tensor(radices, device=ids.device)
    return ids.long()[..., None] // _places(radices, ids.device) % radix


def _places(radices: Sequence[int], device: torch.device) -> Int[Tensor, "k"]:
    return torch.tensor([math.prod(radices[:i]) for i in range(len(radices))], device=device)

"""How a codebook is used: which share of it occurs, and how evenly."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from limner.errors import InputError


def code_shares(ids: Int[Tensor, "..."], entries: int) -> Float[Tensor, "v"]:
    """How often each of the ``entries`` codes occurs, summing to 1; float64."""
    flat = ids.flatten().long()
    if len(flat) == 0 or int(flat.min()) < 0 or int(flat.max()) >= entries:
        raise InputError(f"ids must be one or more numbers from 0 to {entries - 1}; check the size of the codebook")
    return torch.bincount(flat, minlength=entries).double() / len(flat)


def usage(shares: Float[Tensor, "v"]) -> float:
    """Share of the codes that occur at all, between 0 and 1."""
    return float((shares > 0).double().mean())


def perplexity(shares: Float[Tensor, "v"]) -> float:
    """``exp(-sum p ln p)``: how many equally frequent codes would be as varied; between 1 and the number of codes."""
    return float(torch.exp(torch.special.entr(shares).sum()))

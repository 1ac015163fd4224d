"""Mixtures of the rows of a large table, without a coefficient for every token and row at a time:

    v_i = sum_j c_ij (e_j - o),      c_i = coefficients(x_i, e)

Tokens go through in parts. In training each part's coefficients are computed once more on the way back (Chen et al.,
arXiv:1604.06174), so that memory grows with tokens plus rows and not with their product: 729 tokens over 151,936 words
would take 443 MB a picture in fp32, several times over.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint

FLOATS = 2**25  # coefficients at a time, 128 MiB: with 150,000 words some 220 tokens, enough for full matrix products

Hidden = Float[Tensor, "n h"]
Table = Float[Tensor, "entries d"]


def mix(
    coefficients: Callable[[Hidden, Table], Float[Tensor, "n entries"]],
    hidden: Float[Tensor, "*n h"],
    rows: Table,
    origin: Float[Tensor, "d"] | None = None,
    *,
    floats: int = FLOATS,
) -> Float[Tensor, "*n d"]:
    """Mixtures of ``rows``, less ``origin`` (the zero vector if not given).

    Args:
        coefficients: of some tokens over the rows.
        hidden: what they are computed from, per token.
        rows: what is mixed.
        origin: what is taken from every row.
        floats: most coefficients that may exist at a time.
    """

    def part(some: Hidden, rows: Table) -> Float[Tensor, "n d"]:
        weights = coefficients(some, rows)
        mixed = weights.to(rows.dtype) @ rows
        return mixed if origin is None else mixed - weights.sum(-1, keepdim=True).to(rows.dtype) * origin

    tokens = hidden.flatten(0, -2)
    parts = tokens.split(max(floats // len(rows), 1))
    if len(parts) == 1:
        mixed = part(tokens, rows)
    else:
        mixed = torch.cat([checkpoint(part, some, rows, use_reentrant=False) for some in parts])
    return mixed.reshape(*hidden.shape[:-1], -1)

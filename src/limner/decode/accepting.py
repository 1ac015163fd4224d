"""Which drafts stay: the rules of speculative decoding for one draft per position.

exact        u q(x) < p(x), else draw (p - q)+              what stays or is drawn has the law of p
likeliest    x = argmax p                                   at temperature 0
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from limner.decode.drafting import Drafts
from limner.decode.paths import Accept
from limner.generators.heads.categorical import Shares
from limner.types import Rng

Surely: TypeAlias = Callable[[Shares, Int[Tensor, "b m"]], Bool[Tensor, "b m"]]
"""``surely(p, drafted) -> accepted`` at temperature 0, where p is that of temperature 1, uncut."""


def exact(p: Shares, q: Shares, drafted: Int[Tensor, "b m"], rng: Rng) -> tuple[Bool[Tensor, "b m"], Shares]:
    """The rule above: a draft x stays if ``u q(x) < p(x)``, u uniform in [0, 1)."""
    own_p, own_q = (share.gather(-1, drafted[..., None])[..., 0] for share in (p, q))
    return rng.uniform(*drafted.shape) * own_q < own_p, residual(p, q)


def residual(p: Shares, q: Shares) -> Shares:
    """``(p - q)+`` over its sum; p itself where the two are equal, and nothing is refused."""
    rest = (p - q).clamp_min(0.0)
    total = rest.sum(-1, keepdim=True)
    return torch.where(total > 0, rest / total, p)


def likeliest(p: Shares, drafted: Int[Tensor, "b m"]) -> Bool[Tensor, "b m"]:
    """Drafts that are the likeliest ids."""
    return drafted == p.argmax(-1)


def verify(p: Float[Tensor, "b more v"], drafts: Drafts, accept: Accept, rng: Rng) -> tuple[Int[Tensor, "b"], Drafts]:
    """How many drafts of each row stay; then those, what takes the place of the next, and draws of p behind it."""
    count = drafts.ids.shape[1]
    accepted, rest = accept(p[:, :-1], drafts.shares, drafts.ids, rng)
    agreed = accepted.long().cumprod(1).sum(1)
    ahead = torch.arange(count + 1, device=p.device)
    refused = (ahead == agreed[:, None]) & (ahead < count)
    fresh = pick(torch.where(refused[..., None], functional.pad(rest, (0, 0, 0, 1)), p), rng.uniform(*p.shape[:2]))
    return agreed, Drafts(torch.where(ahead < agreed[:, None], functional.pad(drafts.ids, (0, 1)), fresh), p)


def pick(shares: Shares, uniform: Float[Tensor, "b m"]) -> Int[Tensor, "b m"]:
    """An id of each distribution, by inverting its distribution function over ids."""
    edges = shares.cumsum(-1)
    total = edges[..., -1:]
    place = torch.searchsorted(edges, uniform[..., None] * total, right=True)
    return place.minimum((edges < total).sum(-1, keepdim=True))[..., 0]

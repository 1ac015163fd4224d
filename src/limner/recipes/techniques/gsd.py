"""GSD: a draft stands or falls with the tokens that are nearly as likely as it, and look nearly like it.

So et al., Grouped Speculative Decoding for Autoregressive Image Generation, ICCV 2025, arXiv:2508.07747.
Many codes of an image are interchangeable, and plain verification refuses a draft for another of its kind. With G(x)
the ids around x in order of probability that differ from it by less than ``probability``, and whose embeddings e by
less than ``distance``,

    x stays if  u < sum_G p / sum_G q,      G = {c : |rank c - rank x| <= radius, |p(c) - p(x)| < ., |e_c - e_x|^2 < .}

over the self-drafts of speculative Jacobi decoding. Not lossless: what stays is of the group's law, not of the token's;
with ``radius=0`` the group is x and the law exact. As in the official code the ranks are -radius .. radius - 1, and an
id among the ``radius`` least likely is its own group. Distances depend on the scale of a model's embeddings.

    limner draw "a red heart" --model raster-emoji-64 --with gsd:window=8,distance=2
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from limner.decode.decoder import Decoder
from limner.decode.speculative import Shares, Speculative, residual
from limner.generators.heads.head import discrete
from limner.recipe import Technique
from limner.types import Rng


@dataclass(frozen=True)
class Knobs:
    """Those of the paper's runs (Section 5, official script)."""

    window: int = 16
    """Drafts that are verified in one pass."""
    radius: int = 7
    """Ranks below and above a draft that its group may reach; 0: exact decoding."""
    probability: float = 0.15
    """How much the probabilities of a group may differ."""
    distance: float = 0.5
    """Squared distance of embeddings within a group."""


def grouped(
    p: Shares, q: Shares, drafted: Int[Tensor, "b m"], rng: Rng, *, embed: Callable[[Tensor], Tensor], knobs: Knobs
) -> tuple[Bool[Tensor, "b m"], Shares]:
    """A draft stays by the probability of its group; one that does not is drawn anew from ``(p - q)+``."""
    own, ids = drafted[..., None], p.argsort(dim=-1, stable=True)
    near = torch.arange(-knobs.radius, max(knobs.radius, 1), device=p.device)
    ranks = (ids == own).long().argmax(-1, keepdim=True) + near
    inside = (ranks[..., :1] >= 0) & (ranks < p.shape[-1]) | (near == 0)
    group = ids.gather(-1, ranks.clamp(0, p.shape[-1] - 1))
    alike = (p.gather(-1, group) - p.gather(-1, own)).abs() < knobs.probability
    close = (embed(group) - embed(own)).square().sum(-1) < knobs.distance
    kept = inside & (alike & close | (near == 0))
    mass_p, mass_q = ((shares.gather(-1, group) * kept).sum(-1) for shares in (p, q))
    return rng.uniform(*drafted.shape) * mass_q < mass_p, residual(p, q)


def apply(decoder: Decoder, knobs: Knobs) -> Decoder:
    """The decoder with drafts accepted by group; raises `InputError` for a head without ids."""
    accept = partial(grouped, embed=discrete(decoder.generator.head).embed, knobs=knobs)
    return replace(decoder, step=Speculative(accept=accept, window=knobs.window))


RECIPE = Technique(
    system="gsd",
    state="works",
    paper="arXiv:2508.07747",
    knobs=Knobs,
    apply=apply,
    on=Decoder,
    host="generators/llamagen",
)

"""GSD: a draft is accepted by the probability of a group of ids, for many ids of an image are interchangeable.

So et al., Grouped Speculative Decoding for Autoregressive Image Generation, ICCV 2025, arXiv:2508.07747. Of a draft x

    G(x) = {c : rank of c within ``radius`` of x's, |p(c) - p(x)| < ``probability``, |e_c - e_x|^2 < ``distance``}
    x is accepted if  u < sum_G p / sum_G q,  u uniform in [0, 1), e the embeddings, ranks in order of probability

and drafts are the model's own, as in speculative Jacobi decoding. Not lossless; with ``radius=0`` it is, for G(x) is x.
As in the official code ranks reach from -radius to radius - 1, and an id among the ``radius`` least likely is alone.

    limner draw "a red heart" --model raster-emoji-64 --with gsd:window=8
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from limner.decode.accepting import residual
from limner.decode.decoder import Decoder
from limner.decode.speculative import accepting
from limner.generators.heads.categorical import Shares
from limner.generators.heads.head import discrete
from limner.recipe import Claim, Technique
from limner.types import Rng


@dataclass(frozen=True)
class Knobs:
    """Those of the official script."""

    window: int = 16  # drafts that are verified in one pass
    radius: int = 7
    probability: float = 0.15
    """How much the probabilities of a group may differ."""
    distance: float = 0.5
    """Squared distance of embeddings within a group: a matter of the model's scale, so try the median of its pairs."""


def grouped(
    p: Shares, q: Shares, drafted: Int[Tensor, "b m"], rng: Rng, *, embed: Callable[[Tensor], Tensor], knobs: Knobs
) -> tuple[Bool[Tensor, "b m"], Shares]:
    """A draft stays by the probability of its group; one that does not is drawn anew from ``(p - q)+``."""
    own, ids = drafted[..., None], p.argsort(dim=-1, stable=True)
    near = torch.arange(-knobs.radius, max(knobs.radius, 1), device=p.device)
    ranks = (ids == own).long().argmax(-1, keepdim=True) + near
    inside = (ranks[..., :1] >= 0) & (ranks < p.shape[-1])
    group = ids.gather(-1, ranks.clamp(0, p.shape[-1] - 1))
    alike = (p.gather(-1, group) - p.gather(-1, own)).abs() < knobs.probability
    close = (embed(group) - embed(own)).square().sum(-1) < knobs.distance
    kept = inside & alike & close | (near == 0)
    mass_p, mass_q = ((shares.gather(-1, group) * kept).sum(-1) for shares in (p, q))
    return rng.uniform(*drafted.shape) * mass_q < mass_p, residual(p, q)


def apply(decoder: Decoder, knobs: Knobs) -> Decoder:
    """The decoder with drafts accepted by group; raises `InputError` for a head without ids."""
    accept = partial(grouped, embed=discrete(decoder.generator.head).embed, knobs=knobs)
    return accepting(decoder, knobs.window, accept=accept)


RECIPE = Technique(
    system="gsd",
    state="partly",
    paper="arXiv:2508.07747",
    knobs=Knobs,
    apply=apply,
    on=Decoder,
    host="generators/llamagen",
    tiny={"window": 4},
    neutral={"radius": 0},
    claims=(
        Claim(text="an image takes fewer passes than by exact drafts, these fewer than by token", source="Abstract"),
        Claim(text="a group of one draws the images of exact drafts, id by id", source="the rule above"),
        Claim(text="images are as good (within 10 % of the distance) as token by token", source="Abstract"),
    ),
)

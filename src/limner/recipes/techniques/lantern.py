"""LANTERN: a draft is accepted by the probability of its nearest codes too, for those look alike.

Jang et al., arXiv:2410.03355, and LANTERN++, arXiv:2502.06352 (github.com/jadohu/LANTERN). Of a draft x, with its codes
c_1, c_2, .. in order of distance in the codebook,

    m_i = p(c_1) + .. + p(c_i)       x is accepted if  u < (p(x) + m_j) / q(x),  u uniform in [0, 1),
    j   = the last i <= ``neighbours`` with m_i <= ``delta``;  above 1: with m_i <= (delta - 1) p(x)

and after a refusal p <- (p - q')+ renormalised, q' being q without those neighbours if x had borrowed of them; where x
was certain, q(x) = 1, they leave p instead. Approximate: the law is off by at most ``delta`` per token; with
``neighbours=0`` it is exact. At temperature 0, x is accepted if p(x) + m_j exceeds every other probability.
Drafts are the model's own unless a drafter gives others; ``tree`` verifies the authors' static tree of 25 at once.

    limner draw "a red heart" --model raster-emoji-64 --with lantern:delta=0.2
    limner draw "a red heart" --model raster-emoji-64 --with speculative:drafter=runs/small --with lantern:tree=true
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from limner.decode.paths import Branches, tree
from limner.decode.speculative import accepting
from limner.errors import InputError
from limner.generators.heads.categorical import Shares
from limner.models.text_to_image import ImageGenerator
from limner.recipe import Claim, Technique
from limner.tokenizers.quantizers.quantizer import Discrete, Quantizer
from limner.types import Rng

STATIC = """0 1 2 3 00 01 02 10 11 20 21 30 000 001 002 010 011 020 021 100 0000 0001 0002 00000 00001"""
TREE = tuple(tuple(map(int, node)) for node in STATIC.split())  # the official code's, by ranks
ROWS = 1024  # of the codebook whose distances are taken at a time


@dataclass(frozen=True)
class Knobs:
    """Those of the official script, but for the window."""

    neighbours: int = 1000
    """Nearest codes of which a draft may borrow."""
    delta: float = 0.1
    """Most that it borrows; above 1 less one, and times its own probability."""
    window: int = 5
    """Most drafts in a row that are verified in one pass."""
    tree: bool = False
    """Verify a tree of drafts rather than a chain."""


class Loan(NamedTuple):
    """What drafts have: their own probability and what they borrow, whether they do, and of which codes they may."""

    mass: Float[Tensor, "b m"]
    some: Bool[Tensor, "b m 1"]
    codes: Int[Tensor, "b m k"]


def nearest(codebook: Float[Tensor, "v c"], count: int) -> Int[Tensor, "v k"]:
    """The ``count`` codes nearest to each, itself left out, nearest first; fewer where there are not so many."""
    parts = []
    for first in range(0, len(codebook), ROWS):
        distances = torch.cdist(codebook[first : first + ROWS], codebook)
        own = torch.arange(len(distances), device=codebook.device)
        distances[own, first + own] = torch.inf
        parts.append(distances.argsort(dim=-1, stable=True)[:, : min(count, len(codebook) - 1)].int())
    return torch.cat(parts)


def borrowed(p: Shares, drafted: Int[Tensor, "b m"], near: Int[Tensor, "v k"], knobs: Knobs) -> Loan:
    """See above; ``near`` is `nearest`, of one code more than drafts may borrow of."""
    codes, own = near[drafted].long(), p.gather(-1, drafted[..., None])
    mass = p.gather(-1, codes[..., : knobs.neighbours]).cumsum(-1)
    inside = mass <= (knobs.delta if knobs.delta <= 1 else (knobs.delta - 1) * own)
    most = functional.pad(mass * inside, (1, 0)).amax(-1)
    return Loan(own[..., 0] + most, inside.any(-1, keepdim=True), codes)


def relaxed(
    p: Shares, q: Shares, drafted: Int[Tensor, "b m"], rng: Rng, *, near: Int[Tensor, "v k"], knobs: Knobs
) -> tuple[Bool[Tensor, "b m"], Shares]:
    """A draft stays by its own probability and what it borrows; see above for what one that does not leaves of p."""
    own_q, found = q.gather(-1, drafted[..., None]), borrowed(p, drafted, near, knobs)
    lent = torch.zeros_like(p, dtype=torch.bool).scatter(-1, found.codes, True) & found.some
    rest = (p.masked_fill(lent & (own_q == 1), 0.0) - q.masked_fill(lent, 0.0)).clamp_min(0.0)
    rest = torch.where(rest.sum(-1, keepdim=True) > 0, rest, torch.ones_like(rest))  # nothing left: any, as officially
    return rng.uniform(*drafted.shape) * own_q[..., 0] < found.mass, rest / rest.sum(-1, keepdim=True)


def relaxed_surely(
    p: Shares, drafted: Int[Tensor, "b m"], *, near: Int[Tensor, "v k"], knobs: Knobs
) -> Bool[Tensor, "b m"]:
    """A draft stays if it is the likeliest with what it borrows."""
    own = drafted[..., None]
    return p.scatter(-1, own, borrowed(p, drafted, near, knobs).mass[..., None]).argmax(-1) == drafted


@torch.no_grad()
def codebook(model: ImageGenerator) -> Float[Tensor, "v c"]:
    """What the tokenizer decodes of each id; raises `InputError` if its tokens are no ids of one grid."""
    quantizer, one_grid = getattr(model.tokenizer, "quantizer", None), len(model.tokenizer.layout.grids) == 1
    if not isinstance(quantizer, Discrete) or not isinstance(quantizer, Quantizer) or not one_grid:
        raise InputError("this technique wants codes of one grid: choose a model such as raster-emoji-64")
    ids = torch.arange(quantizer.entries)[None]
    return quantizer.latents(ids, 1, quantizer.entries)[0, :, 0].T.float()


def apply(model: ImageGenerator, knobs: Knobs) -> ImageGenerator:
    """The model with drafts accepted by neighbourhood; raises `InputError` if it draws no ids of a codebook."""
    near = nearest(codebook(model), knobs.neighbours + 1)
    accept, surely = partial(relaxed, near=near, knobs=knobs), partial(relaxed_surely, near=near, knobs=knobs)
    branches = Branches(tree(TREE)) if knobs.tree else None
    model.change_decoder(partial(accepting, window=knobs.window, accept=accept, surely=surely, branches=branches))
    return model


RECIPE = Technique(
    system="lantern",
    state="partly",
    paper="arXiv:2410.03355",
    knobs=Knobs,
    apply=apply,
    on=ImageGenerator,
    host="generators/llamagen",
    tiny={"window": 4, "neighbours": 8},
    neutral={"neighbours": 0},
    claims=(
        Claim(text="a draft that may borrow of no code draws the images of exact drafts, id by id", source="Eq. 5"),
        Claim(
            text="an image takes fewer passes than by exact drafts, and fewer the larger delta is",
            source="Abstract and Section 4",
        ),
        Claim(
            text="images are better than where a draft borrows of as many codes at random", source="Section 4, Figure 4"
        ),
    ),
)

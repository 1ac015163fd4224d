"""SpecTr: several drafts per position, of which one stays as often as an optimal transport allows, but for 37 %.

Sun et al., SpecTr: Fast Speculative Decoding via Optimal Transport, arXiv:2310.15141. ``paths`` drafts are drawn
independently; of the k that agree with what was accepted so far, one after the other stays (K-SEQ, Algorithm 2) if

    u < p(x) / (rho q(x)),      u uniform in [0, 1),      beta = sum_x min(q(x), p(x) / rho),
    rho in [1, k] the smallest with (1 - (1 - beta)^k) / beta <= rho

and if none does, the next token is of ``p(x) - min(q(x), p(x) / rho) (1 - (1 - beta)^k) / beta``, normalised. Exact:
what is drawn has the law of p; k = 1 is ordinary speculative decoding. Some draft stays at least ``1 - (1 - 1/k)^k`` as
often as the best coupling lets one. Every path is a row of the pass: fewer passes, each wider. By itself the paths are
the model's own draws of the last pass; with ``speculative`` they are a drafter's. Not for temperature-free decoding: at
temperature 0 all paths are alike and the longest that agrees stays.

    limner draw "a red heart" --model raster-emoji-64 --with speculative:drafter=runs/small --with spectr:paths=4
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from limner.decode.decoder import Decoder
from limner.decode.paths import Branches, independent
from limner.decode.speculative import accepting
from limner.errors import InputError
from limner.recipe import Claim, Technique
from limner.types import Rng

Law: TypeAlias = Float[np.ndarray, "v"]
BISECTIONS = 40  # of the interval in which rho lies: to 1e-12 of it


@dataclass(frozen=True)
class Knobs:
    """The paper's range: 4 to 8 drafts in a row, up to 8 paths."""

    paths: int = 8
    """Drafts per position."""
    window: int = 4
    """Most drafts in a row that are verified in one pass."""


def rate(p: Law, q: Law, rho: float, trials: int) -> tuple[float, float]:
    """beta, and ``(1 - (1 - beta)^k) / beta``, which is k where beta is 0."""
    beta = min(float(np.minimum(q, p / rho).sum()), 1.0)
    return beta, float(trials) if beta == 0 else (1 - (1 - beta) ** trials) / beta


def smallest_rho(p: Law, q: Law, trials: int) -> float:
    """The smallest rho in [1, k] under which the residual is not negative, by bisection: the left side of the condition
    rises with rho no faster than rho itself."""
    low, high = 1.0, float(trials)
    if rate(p, q, low, trials)[1] <= low:
        return low
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (low, middle) if rate(p, q, middle, trials)[1] <= middle else (middle, high)
    return high


def k_seq(
    p: Float[Tensor, "v"], q: Float[Tensor, "s v"], drafted: Int[Tensor, "s"], rng: Rng
) -> tuple[int, Float[Tensor, "v"]]:
    """Of drafts of one law q the first that stays, or -1; and the residual."""
    trials, (target, law) = len(drafted), (part.double().cpu().numpy() for part in (p, q[0]))
    rho = smallest_rho(target, law, trials)
    _, factor = rate(target, law, rho, trials)
    ids, uniform = drafted.cpu().numpy(), rng.uniform(1, trials)[0].cpu().numpy()
    stays = (uniform * rho * law[ids] < target[ids]).nonzero()[0]
    rest = np.maximum(target - np.minimum(law, target / rho) * factor, 0.0)
    rest = rest / rest.sum() if rest.sum() > 0 else target
    return int(stays[0]) if len(stays) else -1, torch.from_numpy(rest).to(p)


def apply(decoder: Decoder, knobs: Knobs) -> Decoder:
    """The decoder with paths side by side; raises `InputError` for a head without ids, or for no path."""
    if knobs.paths < 1:
        raise InputError(f"{knobs.paths} paths hold no draft: choose 1 or more")
    return accepting(decoder, knobs.window, branches=Branches(independent(knobs.paths), k_seq))


RECIPE = Technique(
    system="spectr",
    state="partly",
    paper="arXiv:2310.15141",
    knobs=Knobs,
    apply=apply,
    on=Decoder,
    host="generators/llamagen",
    tiny={"paths": 3, "window": 3},
    neutral={},
    claims=(
        Claim(text="what is drawn has the model's law", source="Theorem 1"),
        Claim(text="a draft stays at least 1 - (1 - 1/k)^k as often as under the best coupling", source="Theorem 2"),
        Claim(text="8 drafts per position need fewer passes than 4, those fewer than 1", source="Table 1"),
    ),
)

"""Speculative decoding: the law, every probability counted, and the passes of the large model."""

from __future__ import annotations

import torch

from limner.decode.accepting import exact
from limner.evaluate.statistics import over_seeds
from limner.experiments.claims import Comparison, Measured
from limner.experiments.experiment import Experiment
from limner.experiments.techniques.drafts import drafted, falls, token_by_token
from limner.types import Rng

IDS, PAIRS, NUMBERS = 8, 50, 4_000
ROUNDING = 1e-3  # of a probability, from so many uniform numbers


class Grid(Rng):
    """Uniform numbers, evenly spaced over the rows: a share of them is a probability."""

    def uniform(self, *shape: int) -> torch.Tensor:
        return ((torch.arange(shape[0]) + 0.5) / shape[0]).reshape(-1, *(1 for _ in shape[1:])).expand(shape)


def has_the_law(experiment: Experiment) -> Measured:
    """Largest difference to p of the law of what is drawn, over pairs of random laws p and q."""
    found = []
    for seed in experiment.seeds:
        rng, worst = Rng(seed), 0.0
        for _ in range(PAIRS):
            p, q = (2 * rng.normal(2, 1, 1, IDS)).softmax(-1)
            law = torch.zeros(IDS)
            for x in range(IDS):
                many, ids = (NUMBERS, 1, IDS), torch.full((NUMBERS, 1), x)
                kept, rest = exact(p.expand(many), q.expand(many), ids, Grid(0))
                stays = kept.float().mean()
                law[x] += q[0, 0, x] * stays
                law += q[0, 0, x] * (1 - stays) * rest[0, 0]
            worst = max(worst, float((law - p[0, 0]).abs().max()))
        found.append(worst)
    return max(found) < ROUNDING, {"largest difference of a probability": over_seeds(found)}


CLAIMS = (
    Comparison((), "law of what is drawn - p: 0", f"a probability off by {ROUNDING:g} or more", has_the_law),
    falls(
        "passes",
        {"token by token": token_by_token, "a window of 2": drafted(2), "a window of 4": drafted(4)},
        "a gap in passes whose interval holds 0",
    ),
)

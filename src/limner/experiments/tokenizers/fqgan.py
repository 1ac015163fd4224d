"""FQGAN: two codebooks against one of all pairs, which nothing need learn, and against one of as many rows, trained in
the same network on the same images."""

from __future__ import annotations

import torch

from limner.experiments.claims import Comparison, Measured, better
from limner.experiments.experiment import Experiment
from limner.experiments.world import Arm
from limner.store.official.fqgan import DUAL_16
from limner.tokenizers.quantizers.factorized import FactorizedQuantizer
from limner.tokenizers.quantizers.learned import LearnedCodebook
from limner.types import Rng

ROWS, CELLS = 128, 4096  # of each codebook here, so that all pairs can be listed; cells that are looked up


@torch.no_grad()
def finds_all_pairs(experiment: Experiment) -> Measured:
    """Share of random cells whose id is that of the nearest of all pairs of rows; rows that a cell is compared with."""
    same = []
    for seed in experiment.seeds:
        torch.manual_seed(seed)
        books = [LearnedCodebook(ROWS, DUAL_16.channels, normalize=True) for _ in range(2)]
        features = Rng(seed).normal(1, 2 * DUAL_16.channels, 1, CELLS)
        ids = FactorizedQuantizer(books).tokens(features)[0]
        first, second = (book.rows() for book in books)
        pairs = torch.cat([first.repeat(ROWS, 1), second.repeat_interleave(ROWS, 0)], 1)  # the first digit runs fastest
        whole = LearnedCodebook(ROWS**2, 2 * DUAL_16.channels)
        whole.codebook.copy_(pairs)
        halves = torch.nn.functional.normalize(features.unflatten(1, (2, -1)), dim=2).flatten(1, 2)
        same.append(float((whole.tokens(halves)[0] == ids).float().mean()))
    compared = {"fqgan": 2 * DUAL_16.entries, "all pairs": DUAL_16.entries**2}
    return min(same) == 1.0, {"share of equal ids": same, "rows compared per cell at the released size": compared}


TWO = Arm("fqgan", "tokenizers/fqgan", {"channels": 4, "entries": 256})
ONE = Arm("fqgan-one", "tokenizers/fqgan", {"channels": 8, "entries": 512, "codes": 1})

CLAIMS = (
    Comparison(
        (),
        "every cell gets the id that the nearest of all pairs of rows has",
        "one cell with another id",
        finds_all_pairs,
    ),
    better(TWO, ONE, "psnr"),
)

"""LANTERN: passes and distances by delta, and where a draft borrows of codes at random."""

from __future__ import annotations

from functools import partial

import torch
from jaxtyping import Int
from torch import Tensor

from limner.decode.decoder import Decoder
from limner.decode.speculative import accepting
from limner.experiments.experiment import Experiment
from limner.experiments.generators.baselines import RASTER
from limner.experiments.techniques.drafts import Change, drafted, falls, same_images
from limner.experiments.world import trained
from limner.models.text_to_image import TextToImage
from limner.recipes.techniques.lantern import Knobs, codebook, nearest, relaxed
from limner.types import Rng

WINDOW, NEAR = 4, 32


def borrowing(delta: float, neighbours: int = NEAR, *, at_random: bool = False) -> Change:
    """Drafts of the small model that borrow up to ``delta``, of their nearest codes or of any."""
    draft = drafted(WINDOW)

    def change(experiment: Experiment, seed: int, decoder: Decoder) -> Decoder:
        model = trained(experiment, RASTER, seed)
        assert isinstance(model, TextToImage)
        knobs = Knobs(neighbours, delta, WINDOW)
        near = nearest(codebook(model), neighbours + 1)
        if at_random:
            near = others(len(near), near.shape[1])
        accept = partial(relaxed, near=near, knobs=knobs)
        return accepting(draft(experiment, seed, decoder), WINDOW, accept=accept)

    return change


def others(entries: int, count: int) -> Int[Tensor, "v k"]:
    """For each code others at random, the same in every drawing."""
    shift = 1 + Rng(0).permutations(entries, entries - 1)[:, :count]
    return ((torch.arange(entries)[:, None] + shift) % entries).int()


CLAIMS = (
    same_images(
        borrowing(0.1, 0),
        drafted(WINDOW),
        "every image of drafts that borrow of no code is that of exact ones",
        "exact",
    ),
    falls(
        "passes",
        {"exact": drafted(WINDOW), "delta 0.1": borrowing(0.1), "delta 0.3": borrowing(0.3)},
        "a gap in passes whose interval holds 0",
    ),
    falls(
        "frechet",
        {"at random": borrowing(0.3, at_random=True), "nearest": borrowing(0.3)},
        "a gap in frechet whose interval holds 0",
    ),
)

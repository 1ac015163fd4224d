"""GSD: token by token, drafts of the model's own verified exactly, and the same drafts verified by group.

Ids of a group lie no farther apart than half of all pairs of the arm's ids do; by the authors' 0.5, which is less than
99 % of them, every group would hold one id.
"""

from __future__ import annotations

from dataclasses import replace

from limner.decode.decoder import Decoder
from limner.decode.speculative import Speculative
from limner.experiments.experiment import Experiment
from limner.experiments.techniques.drafts import falls, same_images, stays, token_by_token
from limner.recipes.techniques.gsd import Knobs, apply

WINDOW, DISTANCE = 8, 1.75


def exact(experiment: Experiment, seed: int, decoder: Decoder) -> Decoder:
    """Drafts accepted each by its own probability."""
    return replace(decoder, step=Speculative(window=WINDOW))


def group_of_one(experiment: Experiment, seed: int, decoder: Decoder) -> Decoder:
    """GSD whose groups hold the draft alone."""
    return apply(decoder, Knobs(window=WINDOW, radius=0))


def grouped(experiment: Experiment, seed: int, decoder: Decoder) -> Decoder:
    """GSD."""
    return apply(decoder, Knobs(window=WINDOW, distance=DISTANCE))


CLAIMS = (
    falls(
        "passes",
        {"token by token": token_by_token, "exact": exact, "grouped": grouped},
        "a gap in passes whose interval holds 0",
    ),
    same_images(group_of_one, exact, "every image of groups of one id is that of exact verification", "exact"),
    stays("frechet", {"token by token": token_by_token, "grouped": grouped}, 0.1),
)

"""M-VAR against VAR: what a layer carries from scale to scale at the released sizes, and how both draw."""

from __future__ import annotations

import torch

from limner.experiments.claims import Comparison, Measured, no_worse
from limner.experiments.experiment import Experiment
from limner.experiments.generators.var import SCALES, SIZES
from limner.experiments.tokenizers.baselines import MULTISCALE
from limner.experiments.world import Arm
from limner.nn.blocks import Context
from limner.nn.cache import KeyValueCache
from limner.nn.ssm import Mamba2
from limner.store.official.var import VAR_D16

FIFTH = 0.2


@torch.no_grad()
def carries_less(experiment: Experiment) -> Measured:
    """Numbers that a layer of width 1024 holds for an image: the recurrence's state against keys and values of all
    positions, after a pass of each over as many; nothing is learned."""
    width, positions = VAR_D16.width, sum(side**2 for side in VAR_D16.sides)
    cache = KeyValueCache(positions, 1)
    Mamba2(width)(torch.zeros(1, positions, width), Context(cache=cache), 0)
    state = cache.state(0).numel()
    heads = torch.zeros(1, VAR_D16.heads, positions, width // VAR_D16.heads)
    keys, values = KeyValueCache(positions, 1).extend(0, heads, heads)
    kept = keys.numel() + values.numel()
    return state <= FIFTH * kept, {"numbers of a layer": {"m-var": state, "var": kept}, "ratio": state / kept}


MIXED = Arm("mvar", "generators/mvar", {**SIZES, "depth": 2, "tokenizer": MULTISCALE})

CLAIMS = (
    Comparison(
        (),
        f"numbers that a layer carries from scale to scale: m-var at most {FIFTH:g} of var's",
        "a larger share",
        carries_less,
        "var",
        ways=("m-var", "var"),
    ),
    no_worse(MIXED, SCALES, 0.1),
)

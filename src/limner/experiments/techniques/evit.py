"""EViT on limner-64, whose four encoder layers have 64, 45, 33 and 24 patches, the last with one that is fused.

all          64 patches in every layer
attention    those that receive most attention, and one for the others
unfused      without that one
random       as many in the same layers, drawn for each image, and one for the others
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from limner.encoders.fusing import FusingEncoder, Worth
from limner.evaluate.statistics import gain_over_seeds
from limner.experiments.claims import Comparison, Measured
from limner.experiments.experiment import Experiment
from limner.experiments.seeing import Changes, shipped, unchanged
from limner.models.vision_language import VisionLanguageModel
from limner.recipes.techniques import evit
from limner.types import Rng, derive_seed

BOUND, MARGIN = 0.75, 0.02


def drawn(seed: int) -> Worth:
    """The control: a patch is worth a draw."""
    rng = Rng(derive_seed(seed, "patches"))

    def worth(received: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
        return rng.uniform(*received.shape).to(received.device)

    return worth


def at_random(model: VisionLanguageModel, seed: int) -> VisionLanguageModel:
    """The control."""
    changed = evit.apply(model, evit.Knobs())
    assert isinstance(changed.encoder, FusingEncoder)
    inner, shares = changed.encoder.encoder, changed.encoder.shares
    return model.changed(encoder=FusingEncoder(inner, shares, worth=drawn(seed)))


def operations(model: VisionLanguageModel) -> int:
    """Of encoding one picture."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.encoder(torch.zeros(1, 3, model.size, model.size))
    return int(counter.get_total_flops())


def encodes_cheaper(experiment: Experiment) -> Measured:
    """Operations at most `BOUND` of all's, answers no worse by `MARGIN`."""
    of = ARMS.shares(experiment)
    gain = gain_over_seeds(of["attention"], of["all"])
    share = operations(evit.apply(shipped(), evit.Knobs())) / operations(shipped())
    return share <= BOUND and gain["interval"][0] >= -MARGIN, {"operations": share, "attention - all": gain}


ARMS = Changes(
    "evit",
    {
        "all": unchanged,
        "attention": lambda model, seed: evit.apply(model, evit.Knobs()),
        "unfused": lambda model, seed: evit.apply(model, evit.Knobs(fused=False)),
        "random": at_random,
    },
)
CLAIMS = (
    ARMS.better("attention", "random"),
    ARMS.no_worse("attention", "unfused", 0.0),
    Comparison(
        (),
        f"operations of encoding at most {BOUND:.0%} of all's, answers no worse by {MARGIN:g}",
        "a larger share, or a gap in answers whose interval reaches beyond that",
        encodes_cheaper,
        "all",
        ARMS.competence,
        ("attention", "all"),
    ),
)

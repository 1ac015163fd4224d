"""LLaVA-Align on limner-64: is a thing there? Noisy pictures, with what would be answered without them taken out.

plain         the picture
debiased      words by (1 + alpha) l - alpha l', l' without the picture
labels        yes or no, whichever is likelier as a first word
calibrated    yes or no, divided by what no picture and a picture of noise give
"""

from __future__ import annotations

import functools

import torch

from limner.evaluate.statistics import gain_over_seeds, over_seeds
from limner.experiments.claims import Comparison, Measured
from limner.experiments.experiment import Experiment
from limner.experiments.seeing import SCENES, Changes, about_presence, shipped, unchanged
from limner.nn.pixels import to_tensor
from limner.recipes.techniques import llava_align
from limner.types import Rng, derive_seed

LABELS = ("yes", "no")

ARMS = Changes(
    "presence",
    {"plain": unchanged, "debiased": lambda model, seed: llava_align.apply(model, llava_align.Knobs())},
    about_presence,
)


@functools.lru_cache(maxsize=1)
def answered(experiment: Experiment) -> dict[str, list[float]]:
    """Right answers out of yes and no, calibrated and not, seed by seed."""
    model, found = shipped(), dict[str, list[float]](labels=[], calibrated=[])
    for seed in experiment.seeds:
        count = max(round(SCENES * experiment.scale), 2)
        arrays, turns = about_presence(ARMS.name, model.size, seed, count)
        images, questions = to_tensor(arrays), [turn.question for turn in turns]
        noise = Rng(derive_seed(seed, "no content")).uniform(1, *images.shape[1:]) * 2 - 1
        true = torch.tensor([LABELS.index(turn.answer) for turn in turns])
        own, none, noisy = (
            llava_align.label_shares(model, pictures, questions, LABELS)
            for pictures in (images, None, noise.expand(len(images), -1, -1, -1))
        )
        for name, shares in {"labels": own, "calibrated": llava_align.calibrated(own, [none, noisy])}.items():
            found[name].append(float((shares.argmax(1) == true).float().mean()))
    return found


def calibrates(experiment: Experiment) -> Measured:
    """Right answers: calibrated > labels."""
    of = answered(experiment)
    gain = gain_over_seeds(of["calibrated"], of["labels"])
    right = {name: over_seeds(values) for name, values in of.items()}
    return gain["interval"][0] > 0, {"right": right, "calibrated - labels": gain}


CLAIMS = (
    ARMS.better("debiased", "plain"),
    Comparison(
        (),
        "answers out of yes and no: calibrated > labels",
        "a gap in answers whose interval holds 0 or favours labels",
        calibrates,
        "labels",
        ARMS.competence,
        ("calibrated", "labels"),
    ),
)

"""RITUAL: a randomly changed copy of the picture has a say in every word; what only one view shows is said less.

Woo et al., arXiv:2405.17821 (github.com/sangminwoo/RITUAL). One of six transforms, drawn for each picture and fixed for
the whole answer, gives logits l' beside the picture's l; the next word is drawn from

    softmax(l + alpha l')    among the words with  l >= max l + ln beta

as in the authors' code, where alpha is 3 and beta 0.1. With alpha 0 it is the plain model. Deviations: the likeliest
word is taken, as limner sees; the transform depends on the picture and a seed alone, so that an answer can be had
again; the blur is scaled to the picture's size.

    limner see drawing.png "Is there a red heart?" --with ritual
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from limner.data.transforms import transformed
from limner.decode.contrast import Contrast, together
from limner.models.vision_language import VisionLanguageModel
from limner.recipe import Claim, Technique
from limner.types import Image, Rng, derive_seed


@dataclass(frozen=True)
class Knobs:
    """Those of the authors' script, and a seed."""

    alpha: float = 3.0
    """Weight of the changed picture's logits; 0 is the plain model."""
    beta: float = 0.1
    """Share of the likeliest word's probability below which no word is drawn."""
    seed: int = 0
    """Of the transforms."""


@dataclass(frozen=True)
class Changed:
    """A `limner.decode.contrast.View`: every picture under a transform of its own."""

    seed: int = 0

    def __call__(self, images: Image, questions: Sequence[str]) -> Image:
        return torch.cat([transformed(image[None], self._rng(image)) for image in images])

    def _rng(self, image: torch.Tensor) -> Rng:
        pixels = image.detach().float().cpu().contiguous().numpy().tobytes()
        return Rng(derive_seed(self.seed, "transform", hashlib.blake2b(pixels).hexdigest()), image.device)


def apply(model: VisionLanguageModel, knobs: Knobs) -> VisionLanguageModel:
    """The model, answering by both views; raises `InputError` for a negative alpha, or a beta outside (0, 1]."""
    return model.changed(contrast=Contrast(Changed(knobs.seed), together, knobs.alpha, knobs.beta))


RECIPE = Technique(
    system="ritual",
    state="works",
    paper="arXiv:2405.17821",
    knobs=Knobs,
    apply=apply,
    on=VisionLanguageModel,
    host="understanding/llava",
    neutral={"alpha": 0.0},
    claims=(
        Claim(
            text="of questions whether a thing is there, in noisy pictures, it answers more right than the plain model",
            source="arXiv:2405.17821, Table 1",
        ),
    ),
)

"""LLaVA-Align: what a model would answer without the picture is taken out of what it answers with it.

Zhang et al., Debiasing Multimodal Large Language Models, arXiv:2403.05262 (github.com/yfzhang114/LLaVA-Align). For any
answer, visual debias decoding: with logits l with the picture and l' without,

    softmax((1 + alpha) l - alpha l')    among the words with  l >= max l + ln beta,      alpha 1, beta 0.1

For an answer out of a few labels, calibration: p is what the model gives each label as its first word, in whatever
spelling, and p' the same of contents that show nothing (no picture, noise, zeros; several are summed),

    q = W p / sum W p,    W = diag(p' / sum p' + 1e-4)^-1

With alpha 0 it is the plain model. Deviations: the likeliest word is taken; a label is one subword.

    limner see drawing.png "Is there a red heart?" --with llava-align
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from limner.decode.contrast import Contrast, apart, no_picture
from limner.models.vision_language import VisionLanguageModel
from limner.recipe import Claim, Technique
from limner.types import Image


@dataclass(frozen=True)
class Knobs:
    """Those of the authors' scripts."""

    alpha: float = 1.0
    """How much of what is said without the picture is taken out; 0 is the plain model."""
    beta: float = 0.1
    """Share of the likeliest word's probability below which no word is drawn."""


Shares = Float[Tensor, "b labels"]
ROUNDING = 1e-4


def calibrated(shares: Shares, free: Sequence[Shares]) -> Shares:
    """Probabilities of labels, divided by those of contents that show nothing."""
    without = torch.stack(list(free)).sum(0)
    if len(free) > 1:
        without = without / without.sum(-1, keepdim=True)
    weighed = shares / (without + ROUNDING)
    return weighed / weighed.sum(-1, keepdim=True)


@torch.no_grad()
def label_shares(
    model: VisionLanguageModel, images: Image | None, questions: Sequence[str], labels: Sequence[str]
) -> Shares:
    """The probability that each label, in any spelling of its letters' case, begins the answer."""
    vectors = None if images is None else model.vectors(images)
    words = model.first_words(vectors, questions)
    spelled = [model.vocabulary.word(row).strip().lower() for row in range(words.shape[1])]
    return torch.stack([words[:, [word == label for word in spelled]].sum(1) for label in labels], 1)


def apply(model: VisionLanguageModel, knobs: Knobs) -> VisionLanguageModel:
    """The model, debiased; raises `InputError` for a negative alpha, or a beta outside (0, 1]."""
    return model.changed(contrast=Contrast(no_picture, apart, knobs.alpha, knobs.beta))


RECIPE = Technique(
    system="llava-align",
    state="works",
    paper="arXiv:2403.05262",
    knobs=Knobs,
    apply=apply,
    on=VisionLanguageModel,
    host="understanding/llava",
    neutral={"alpha": 0.0},
    claims=(
        Claim(
            text="of questions whether a thing is there, in noisy pictures, it answers more right than the plain model",
            source="arXiv:2403.05262, Section 5",
        ),
        Claim(
            text="of answers out of yes and no more are right if calibrated by no picture and by noise",
            source="arXiv:2403.05262, Section 4",
        ),
    ),
)

"""AGLA: a copy of the picture in which only what the question is about is left has a say in every word.

An et al., arXiv:2406.12718 (github.com/Lackel/AGLA). A map R of the question's relevance over pixels in [0, 1] and the
match c of picture and question, a cosine, choose what is left:

    kept = { R >= the (n r)-th largest of R },    r = 1 - c / 2,  n pixels,       the rest is black
    softmax(l + alpha l')    among the words with  l >= max l + ln beta,          l' of what is left

so that the better a picture fits its question, the less of it is left. The authors' alpha is 2, beta 0.5; with alpha 0
it is the plain model. Deviations: the likeliest word is taken; and where the authors read R and c off a second model,
BLIP's matching head, the model is its own matcher. R is the gradient of its likeliest first word times what its
connector makes of each patch, summed over channels, positive parts alone (Grad-CAM, arXiv:1610.02391, Eq. 2), resized
and stretched to [0, 1]; c is the cosine between the mean of these vectors and that of the question's word vectors.

    limner see drawing.png "Is there a red heart?" --with agla
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from limner.decode.contrast import Contrast, together
from limner.models.vision_language import VisionLanguageModel
from limner.recipe import Claim, Technique
from limner.types import Image


@dataclass(frozen=True)
class Knobs:
    """Those of the authors' scripts."""

    alpha: float = 2.0
    """Weight of the masked picture's logits; 0 is the plain model."""
    beta: float = 0.5
    """Share of the likeliest word's probability below which no word is drawn."""


def masked(image: Image, relevance: Float[Tensor, "b h w"], match: Float[Tensor, "b"]) -> Image:
    """Pictures in [-1, 1] with only their most relevant pixels, black elsewhere; equal ones are kept together."""
    flat = relevance.flatten(1)
    share = (1 - match.double() / 2).clamp_max(1 - 1e-5)
    place = (flat.shape[1] * share).long()
    least = flat.sort(1, descending=True).values.gather(1, place[:, None])
    kept = (flat >= least).view_as(relevance)[:, None]
    return torch.where(kept, image, -torch.ones_like(image))


@dataclass(frozen=True)
class Relevant:
    """A `limner.decode.contrast.View`: what the question is about, by the model's own gradients."""

    model: VisionLanguageModel

    def __call__(self, images: Image, questions: Sequence[str]) -> Image:
        relevance, match = self.maps(images, questions)
        return masked(images, relevance, match)

    def maps(self, images: Image, questions: Sequence[str]) -> tuple[Float[Tensor, "b h w"], Float[Tensor, "b"]]:
        """Relevance of every pixel, in [0, 1], and match of each picture and question; raises `InputError` if the
        connector makes other than a vector of every patch of a grid."""
        model = self.model
        patches = model.encoder(images)
        with torch.enable_grad():
            vectors = model.connect(patches).detach().requires_grad_(True)
            likeliest = model.first_words(vectors, questions).amax(-1).log().sum()
            (gradient,) = torch.autograd.grad(likeliest, vectors)
        cam = (gradient * vectors.detach()).sum(-1).clamp_min(0)
        grid = cam.view(len(cam), 1, *patches.grid)
        relevance = functional.interpolate(grid, images.shape[-2:], mode="bicubic", align_corners=False)[:, 0]
        low, high = relevance.amin((1, 2), keepdim=True), relevance.amax((1, 2), keepdim=True)
        words = [self._words(text).mean(0) for text in questions]
        match = functional.cosine_similarity(vectors.detach().mean(1), torch.stack(words))
        return (relevance - low) / (high - low).clamp_min(1e-8), match

    def _words(self, text: str) -> Float[Tensor, "n d"]:
        language = self.model.language
        return language.embed(torch.tensor([self.model.vocabulary.ids(text)], device=language.words.device))[0]


def apply(model: VisionLanguageModel, knobs: Knobs) -> VisionLanguageModel:
    """The model, answering by both views; raises `InputError` for a negative alpha, or a beta outside (0, 1]."""
    return model.changed(contrast=Contrast(Relevant(model), together, knobs.alpha, knobs.beta))


RECIPE = Technique(
    system="agla",
    state="works",
    paper="arXiv:2406.12718",
    knobs=Knobs,
    apply=apply,
    on=VisionLanguageModel,
    host="understanding/llava",
    neutral={"alpha": 0.0},
    claims=(
        Claim(
            text="of questions whether a thing is there, in noisy pictures, it answers more right than the plain model",
            source="arXiv:2406.12718, Table 1",
        ),
        Claim(
            text="and more than with the map of another picture of the batch",
            source="arXiv:2406.12718, Section 3.1",
        ),
    ),
)

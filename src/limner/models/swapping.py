"""Another language model behind the same encoder: coefficients stay, words are those of the other table.

    v_i = mu + gamma sum_j c_ij (e_j - mu)      ->      v'_i = mu' + gamma' sum_j c_ij (e'_j - mu')

Liao et al., LangBridge, arXiv:2503.19404: a connector that mixes words need not be trained again for a language model
with the same ones. The gain is ours, and refitted without training: vectors lie as many lengths of a word
from the mean as before. The control gives every coefficient another word's vector (`Misread`).
"""

from __future__ import annotations

import copy
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from limner.connectors.connector import Connector, Features, Words
from limner.errors import InputError
from limner.languages.language import LanguageModel
from limner.models.vision_language import VisionLanguageModel
from limner.types import Image, Patches
from limner.unified.conversation import TextVocabulary


@runtime_checkable
class Swaps(Connector, Protocol):
    """A connector that can go over to other words."""

    def swap(self, features: Features, old: Words, new: Float[Tensor, "v width"]) -> None:
        """From now on mix ``new`` words, as strongly as the old ones are mixed for these features."""


class Misread(nn.Module):
    """A connector that takes every word for another: what a swap must be better than.

    Args:
        connector: reads the table.
        order: row i of its table is row ``order[i]``.
    """

    order: Tensor

    def __init__(self, connector: Connector, order: Int[Tensor, "v"]) -> None:
        super().__init__()
        self.connector = connector
        self.register_buffer("order", order)

    def forward(self, patches: Patches, words: Words) -> Float[Tensor, "b m d"]:
        """Vectors of the wrong words."""
        return self.connector(patches, words[self.order])


def swapped(
    model: VisionLanguageModel,
    language: LanguageModel,
    vocabulary: TextVocabulary,
    pictures: Image,
    order: Int[Tensor, "v"] | None = None,
) -> VisionLanguageModel:
    """The model with another language model; ``model`` itself stays as it is.

    Args:
        model: whose connector mixes words.
        language, vocabulary: of the same words.
        pictures: by which the gain is refitted.
        order: the control: the vector of word ``order[i]`` takes the place of word i's.

    Raises `InputError` if the connector mixes no words, if the two have other words, or if the model learned vectors in
    the old language model's space.
    """
    if not isinstance(model.connector, Swaps):
        raise InputError(
            "this model's connector mixes no words, so it cannot go over to others: take one of language_basis"
        )
    if model.position is not None:
        raise InputError("this model learned positions among the old language model's words: swap one that has none")
    require_same(model.vocabulary, vocabulary, len(model.language.words), len(language.words))
    connector, old = copy.deepcopy(model.connector), model.language.words.detach()
    new = language.words.detach()
    with torch.no_grad():
        connector.swap(model.encoder(pictures).vectors, old, new if order is None else new[order])
    joined: Connector = connector if order is None else Misread(connector, order)
    made = VisionLanguageModel(
        model.encoder, joined, language, vocabulary, learns_to_see=model.learns_to_see, reduce=model.reduce
    )
    return made.eval().requires_grad_(False)


def require_same(first: TextVocabulary, second: TextVocabulary, rows: int, others: int) -> None:
    """Raises `InputError` unless row i of both tables is the same word."""
    if rows != others:
        raise InputError(
            f"the language models have {rows} and {others} words: train the second one with --subwords and "
            "--vocabulary of the first"
        )
    for row in range(rows):
        if first.word(row) != second.word(row):
            raise InputError(
                f"the language models have other words: number {row} is {first.word(row)!r} in one and "
                f"{second.word(row)!r} in the other: train the second one with --subwords of the first"
            )

"""A language model that sees: encoder, connector and language model in a row (Liu et al., LLaVA, arXiv:2304.08485).

    vectors = connector(encoder.features(image), words)         the picture, as if it were words
    hidden  = language([vectors; embed(question, answer)])      read together
    loss    = cross-entropy of the answers alone

Nothing here knows which encoder, connector or language model it holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from limner.connectors.connector import Connector, Features
from limner.data.conversations import DESCRIBE, Turn
from limner.data.preprocess import Given, preprocess
from limner.encoders.encoder import VisionEncoder
from limner.languages.language import LanguageModel, Vectors
from limner.languages.speaking import speak
from limner.types import Image
from limner.unified.conversation import Vocabulary, pack
from limner.unified.segments import NOTHING, Packed, embed
from limner.unified.words import PatchWords, patch_words

ANSWER = 24  # subwords of the longest answer, unless more are asked for
BATCH = 32  # questions that are answered at a time


@runtime_checkable
class Sees(Protocol):
    """What people ask of a model that sees."""

    @property
    def size(self) -> int:
        """Pixels on a side of what it sees."""

    def see(self, image: Given, question: str | None = None) -> str:
        """An answer, or without a question a description."""

    def words(self, image: Given, count: int = 5) -> PatchWords:
        """The heaviest words of every patch."""


class VisionLanguageModel(nn.Module):
    """Sees pictures and answers questions.

    Args:
        encoder: sees.
        connector: puts what it sees into the space of words.
        language: reads and speaks; a module too.
        vocabulary: of the language model; a module if its state is to travel with the weights.
        learns_to_see: train the encoder too.
        placed: add a learned vector per slot to what the connector makes. Mixtures of words do not say where they are,
            and of equal ones rotary positions tell the language model nothing.
    """

    def __init__(
        self,
        encoder: VisionEncoder,
        connector: Connector,
        language: LanguageModel,
        vocabulary: Vocabulary,
        *,
        learns_to_see: bool = False,
        placed: bool = False,
    ) -> None:
        super().__init__()
        self.encoder, self.connector, self.language, self.vocabulary = encoder, connector, language, vocabulary
        assert isinstance(encoder, nn.Module)
        encoder.requires_grad_(learns_to_see)
        self.learns_to_see = learns_to_see
        scale = float(language.words.detach().std())
        self.position = nn.Parameter(scale * torch.randn(self.slots, language.width)) if placed else None

    @property
    def slots(self) -> int:
        """Slots that a picture takes."""
        return self.connector.slots(self.encoder.grid**2)

    def vectors(self, image: Image) -> Float[Tensor, "b m d"]:
        """A picture as vectors in the space of words."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.learns_to_see):
            features = self.encoder.features(image)
        return self.connect(features)

    def connect(self, features: Features) -> Float[Tensor, "b m d"]:
        """What the connector makes of an encoder's patches, as it enters the language model."""
        vectors = self.connector(features, self.language.words)
        return vectors if self.position is None else vectors + self.position

    def embed(self, packed: Packed, vectors: Float[Tensor, "pictured m d"] | None) -> Vectors:
        """Input vectors of every token: words, and those of pictures where rows show one."""
        return embed(packed, self.language.embed, {} if vectors is None else {"seen": vectors.flatten(0, 1)})

    def hidden(self, packed: Packed, vectors: Float[Tensor, "pictured m d"] | None) -> Vectors:
        """Last hidden states of every token."""
        return self.language(self.embed(packed, vectors), packed.positions, packed.visible())

    def looking(self, image: Image) -> Float[Tensor, "b m d"]:
        """Last hidden states of pictures alone, as they are before any question: no picture sees words."""
        return self.hidden(pack([()] * len(image), self.vocabulary, self.slots), self.vectors(image))

    def at_pictures(self, packed: Packed, hidden: Vectors) -> tuple[Float[Tensor, "b m d"], Bool[Tensor, "b"]]:
        """Of last hidden states those at the picture's slots, where rows have one, and which rows do."""
        return hidden[:, : self.slots], packed.pictured()

    def answer_loss(self, packed: Packed, hidden: Vectors) -> Float[Tensor, ""]:
        """Mean cross-entropy, in nats, of the subwords of answers."""
        targets = packed.targets
        learned = targets != NOTHING
        return functional.cross_entropy(self.language.logits(hidden[learned][None])[0].float(), targets[learned])

    @property
    def size(self) -> int:
        """Pixels on a side of what it sees."""
        return self.encoder.size

    def see(self, image: Given, question: str | None = None) -> str:
        """The answer to a question about a picture, or without one its description; errors as those of `preprocess`."""
        return self.answers(self._ready(image), [DESCRIBE if question is None else question])[0]

    @torch.no_grad()
    def words(self, image: Given, count: int = 5) -> PatchWords:
        """The words that weigh most in every patch of a picture; errors as those of `preprocess` and `patch_words`."""
        features = self.encoder.features(self._ready(image))
        return patch_words(self.connector, features, self.language.words, self.vocabulary, count)

    def _ready(self, image: Given) -> Float[Tensor, "1 3 size size"]:
        return preprocess(image, self.size).to(self.language.words.device)

    @torch.no_grad()
    def answers(self, images: Image | None, questions: Sequence[str], *, limit: int = ANSWER) -> list[str]:
        """One answer per question and picture; ``images`` None asks blindly."""
        said: list[str] = []
        for start in range(0, len(questions), BATCH):
            part = slice(start, start + BATCH)
            vectors = None if images is None else self.vectors(images[part])
            packed = pack(
                [[Turn(text)] for text in questions[part]], self.vocabulary, self.slots if images is not None else 0
            )
            spoken = speak(
                self.language,
                self.embed(packed, vectors),
                packed.visible(),
                packed.lengths(),
                stop=self.vocabulary.end(),
                limit=limit,
            )
            said += [self.vocabulary.text(row) for row in spoken.tolist()]
        return said

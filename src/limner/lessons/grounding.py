"""What a unified model learns of scenes: answers, the words of what each patch shows, and the picture itself.

    text             cross-entropy of answers
    reconstruction   hidden states at the picture must give it back                     `limner.unified.reconstruction`
    grounding        cross-entropy between a patch's mixture of words and the words of what it shows

An encoder that learned which words a picture holds does not know where: every patch gets the words of the whole.
Grounding teaches it, by what the scenes know of each patch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from limner.connectors.basis import LanguageBasis
from limner.data.scenes import Scenes
from limner.data.scenes.patches import patch_names
from limner.models.limner import Limner
from limner.nn.whole_batch import over_batch
from limner.types import Rng
from limner.unified.conversation import TextVocabulary
from limner.unified.reconstruction import Reconstruction
from limner.unified.segments import Packed


def grounding_loss(shares: Float[Tensor, "b n v"], ids: Int[Tensor, "b n k"]) -> Float[Tensor, ""]:
    """Cross-entropy between words and their shares in a patch, in nats; all things of a picture, and its background,
    count alike, however many patches they fill.

    Args:
        shares: of every word in every patch.
        ids: words of what a patch shows, padded with 0; nothing but 0 where that is unclear.
    """
    words, patches = ids > 0, (ids > 0).any(2)
    alike = ((ids[:, :, None] == ids[:, None]).all(3) & patches[:, :, None]).sum(1).clamp_min(1)
    weight = patches / alike
    missed = -shares.float().clamp_min(1e-8).log().gather(2, ids) * words
    total = weight.sum()
    mean = (weight * missed.sum(2) / words.sum(2).clamp_min(1)).sum() / total.clamp_min(1)
    return over_batch(mean, total, "grounding")


@dataclass(frozen=True)
class GroundedConversations:
    """A part of a `limner.lessons.joint.JointTask`.

    Args:
        conversations: batches about scenes, see `limner.train.task.Task`.
        scenes: that the conversations are about, taken in turn.
        vocabulary: of the model.
        grid: patches on a side.
        reconstruction: trained beside the model and not shipped.
    """

    conversations: Callable[[int, int], dict[str, Tensor]]
    scenes: Sequence[Scenes]
    vocabulary: TextVocabulary
    grid: int
    reconstruction: Reconstruction

    def batch(self, start: int, size: int) -> dict[str, Tensor]:
        """Conversations ``start .. start + size``, and the words of what each patch shows, padded with 0."""
        taken = [divmod(k, len(self.scenes))[::-1] for k in range(start, start + size)]
        names = [patch_names(self.scenes[one][k % len(self.scenes[one])], self.grid) for one, k in taken]
        ids = {text: self.vocabulary.ids(text) for row in names for text in row}
        longest = max(map(len, ids.values()))
        padded = [[ids[text] + [0] * (longest - len(ids[text])) for text in row] for row in names]
        return {**self.conversations(start, size), "named": torch.tensor(padded)}

    def losses(self, model: Limner, batch: Mapping[str, Tensor], rng: Rng) -> dict[str, Tensor]:
        """The three."""
        reader, unified, packed = model.vision_language, model.unified(), Packed.from_dict(batch)
        patches = reader.encoder(batch["image"])
        packed = packed.showing("seen", reader.connect(patches).flatten(0, 1))
        states = unified.hidden(packed)
        at_picture, has_picture = reader.states_at_images(packed, states)
        shares = cast(LanguageBasis, reader.connector).coefficients(patches.vectors, reader.language.words)
        return {
            **unified.losses(packed, states, packed.masked(), rng),
            "reconstruction": self.reconstruction(at_picture, batch["image"], has_picture, rng),
            "grounding": grounding_loss(shares, batch["named"]),
        }

"""One model that sees and draws: the language model that answers about pictures is the backbone that makes them.

    limner.see(picture, question)     encoder -> connector -> language model -> words             `VisionLanguageModel`
    limner.draw(caption)              words -> language model -> diffusion head -> latents        `TextToImage`

What is seen and what is drawn enter the language model at one place, as combinations of its own words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from PIL import Image as Pillow
from torch import nn

from limner.data.preprocess import Given
from limner.decode.options import DrawOptions
from limner.languages.subwords import Subwords
from limner.models.text_to_image import Show, TextToImage
from limner.models.vision_language import VisionLanguageModel
from limner.unified.words import PatchWords


class Limner(nn.Module):
    """A `VisionLanguageModel` and a `TextToImage` around one language model and one vocabulary.

    Args:
        seer: holds the language model, which is saved with it.
        drawer: its generator uses the same language model (`limner.unified.drawing`).
    """

    def __init__(self, seer: VisionLanguageModel, drawer: TextToImage) -> None:
        super().__init__()
        self.seer, self.drawer = seer, drawer

    @property
    def size(self) -> int:
        """Pixels on a side of what it sees."""
        return self.seer.size

    @property
    def subwords(self) -> Subwords:
        """The vocabulary, of both."""
        return self.drawer.subwords

    def see(self, image: Given, question: str | None = None) -> str:
        """An answer, or without a question a description; see `VisionLanguageModel.see`."""
        return self.seer.see(image, question)

    def words(self, image: Given, count: int = 5) -> PatchWords:
        """The heaviest words of every patch; see `VisionLanguageModel.words`."""
        return self.seer.words(image, count)

    def draw(
        self,
        prompt: str | Sequence[str],
        *,
        n: int = 1,
        seed: int = 0,
        watch: Show | None = None,
        **options: Unpack[DrawOptions],
    ) -> list[Pillow.Image]:
        """``n`` pictures of each prompt; see `TextToImage.draw`."""
        return self.drawer.draw(prompt, n=n, seed=seed, watch=watch, **options)

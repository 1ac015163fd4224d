"""One model that sees and draws: the language model that answers about pictures is the backbone that makes them.

    limner.see(picture, question)     encoder -> connector -> language model -> words             `VisionLanguageModel`
    limner.draw(caption)              words -> language model -> head -> tokens -> tokenizer      `TextToImage`
    limner.unified().loss(rows, rng)  both, as rows of segments                                   `Unified`

What is seen and what is drawn enter the language model at one place; both are read by the same blocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, SupportsIndex, overload

from torch import nn

from limner.data.naming import AS_WRITTEN, Naming
from limner.data.preprocess import Given
from limner.generators.generator import Generator
from limner.languages.subwords import Subwords
from limner.models.text_to_image import TextToImage
from limner.models.vision_language import Questions, Several, VisionLanguageModel
from limner.types import Tokenizer
from limner.unified.drawing import LanguageBackbone, WordCondition
from limner.unified.model import Unified
from limner.unified.words import PatchWords


class Limner(TextToImage):
    """A `TextToImage` that also sees, by the same language model.

    Args:
        vision_language: sees; holds the language model, which is saved with it.
        generator: draws, with a backbone and a condition made of that language model (`limner.unified.drawing`).
        subwords: of captions.
        tokenizer, patch, guidance, naming: see `TextToImage`.
    """

    former_names: Mapping[str, str] = {
        "drawer.generator.condition.nothing": "generator.condition.nothing.weight",
        "drawer.": "",
        "seer.": "vision_language.",
    }

    def __init__(
        self,
        vision_language: VisionLanguageModel,
        generator: Generator,
        subwords: Subwords,
        tokenizer: Tokenizer,
        *,
        patch: int = 1,
        guidance: float = 1.0,
        naming: Naming = AS_WRITTEN,
    ) -> None:
        super().__init__(generator, subwords, tokenizer, patch=patch, guidance=guidance, naming=naming)
        self.vision_language = vision_language

    @property
    def size(self) -> int:
        """Pixels on a side of what it sees."""
        return self.vision_language.size

    @overload
    def see(self, image: Given, question: str | None = None) -> str: ...
    @overload
    def see(self, image: Several, question: Questions = None) -> list[str]: ...
    def see(self, image: Any, question: Any = None) -> str | list[str]:
        """An answer, or without a question a description; see `VisionLanguageModel.see`."""
        return self.vision_language.see(image, question)

    @overload
    def words(self, image: Given, count: SupportsIndex = 5) -> PatchWords: ...
    @overload
    def words(self, image: Several, count: SupportsIndex = 5) -> list[PatchWords]: ...
    def words(self, image: Any, count: SupportsIndex = 5) -> PatchWords | list[PatchWords]:
        """The heaviest words of every patch; see `VisionLanguageModel.words`."""
        return self.vision_language.words(image, count)

    def unified(self) -> Unified:
        """The same parts as a model of segments: ``seen`` tokens are the connector's vectors, ``drawn`` ones the
        generator's, and ``special`` ones stand for a caption that is withheld."""
        generator, condition = self.generator, self.generator.condition
        assert isinstance(generator.backbone, LanguageBackbone)
        assert isinstance(condition, WordCondition)
        inputs: dict[str, nn.Module] = {"special": condition.nothing}
        if generator.embed is not None:
            inputs["drawn"] = generator.embed
        heads = {"drawn": generator.head}
        language = self.vision_language.language
        return Unified(language, inputs, heads, masking=generator.backbone, order=generator.order)

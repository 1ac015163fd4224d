"""A model that draws classes, as most published generators do.

model = limner.load("var_d16.pth", tokenizer="vae_ch160v4096z32.pth")
model.draw(classes=[207, 360], n=4, seed=0)        # ImageNet: golden retriever, otter
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, SupportsIndex, TypeAlias, Unpack

import torch
from PIL import Image as Pillow

from limner.decode.decoder import Decoder
from limner.decode.options import DrawOptions
from limner.errors import InputError
from limner.generators.conditions import ClassCondition
from limner.generators.generator import Generator
from limner.models.text_to_image import ImageGenerator, Show, seeds_of
from limner.types import Size, Tokenizer, whole

Classes: TypeAlias = Any  # a number or several: of Python, numpy or torch


class ClassToImage(ImageGenerator):
    """Draws classes.

    Args:
        generator: conditioned on classes; raises `InputError` for others.
        tokenizer: the one that it learned from; raises `InputError` if it has another number of tokens.
        decoder: how it is decoded without options.
    """

    def __init__(self, generator: Generator, tokenizer: Tokenizer, *, decoder: Callable[[Generator], Decoder]) -> None:
        if not isinstance(generator.condition, ClassCondition):
            raise InputError(
                "this generator draws from features of captions by another model, which limner does not hold: "
                "load it without a tokenizer and give the features to a limner.decode.decoder.Decoder"
            )
        if tokenizer.layout.length != generator.count:
            raise InputError(
                f"the tokenizer encodes an image as {tokenizer.layout.length} tokens, but the generator draws "
                f"{generator.count}: give the tokenizer that it learned from"
            )
        super().__init__(generator, tokenizer, decoder=decoder)
        self.classes = generator.condition.embedding.num_embeddings

    @property
    def size(self) -> Size:
        """Pixels on a side of an image, or its height and width."""
        return self.tokenizer.size

    def draw(
        self,
        classes: Classes,
        *,
        n: SupportsIndex = 1,
        seed: SupportsIndex = 0,
        watch: Show | None = None,
        **options: Unpack[DrawOptions],
    ) -> list[Pillow.Image]:
        """``n`` pictures of each class, class by class; without options, as the authors draw.

        Args:
            classes: one number or several; -1 is no class at all.
            n, seed, watch, options: see `TextToImage.draw`.

        Raises `InputError` for what cannot be drawn, or not with these options.
        """
        several = hasattr(classes, "__iter__") and not isinstance(classes, str)
        several = several and getattr(classes, "ndim", 1) != 0  # numbers of numpy and torch seem iterable
        labels = [whole(label, "the class") for label in (classes if several else [classes])]
        if not labels:
            raise InputError("there is nothing to draw: give a class, such as classes=[207]")
        if wrong := [label for label in labels if not -1 <= label < self.classes]:
            raise InputError(f"there is no class {wrong[0]}: give numbers from 0 to {self.classes - 1}, or -1 for none")
        seeds = seeds_of(len(labels), n, seed)
        condition = torch.tensor(labels).repeat_interleave(len(seeds) // len(labels))
        return self.pictures(condition, seeds, watch, **options)

"""A model that draws captions into the edges of an image (ControlAR, arXiv:2410.02705)."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import SupportsIndex, Unpack

import numpy as np
from einops import rearrange
from jaxtyping import Float
from PIL import Image as Pillow
from torch import Tensor

from limner.data.images import extent
from limner.data.preprocess import Given, read_pixels
from limner.decode.decoder import Watch
from limner.decode.options import DrawOptions
from limner.generators.conditions import Controlled
from limner.generators.control import edges
from limner.models.text_to_image import Pixels, Show, TextToImage, seeds_of
from limner.nn.pixels import to_tensor
from limner.types import Image


class ControlledTextToImage(TextToImage):
    """Draws captions, with a control or without; arguments are those of a `TextToImage` of one grid."""

    def control(self, image: Image) -> Float[Tensor, "b n c"]:
        """The edges of images at each token: the pixels of its patch, row by row."""
        (rows, columns), steep = self.tokenizer.layout.grids[0], edges(image)
        return rearrange(steep, "b 1 (h p) (w q) -> b (h w) (p q)", h=rows, w=columns)

    def draw(
        self,
        prompt: str | Sequence[str],
        *,
        control: Given | None = None,
        n: SupportsIndex = 1,
        seed: SupportsIndex = 0,
        watch: Show | None = None,
        **options: Unpack[DrawOptions],
    ) -> list[Pillow.Image]:
        """``n`` pictures of each prompt, see `TextToImage.draw`; their edges are those of ``control``, a picture of any
        size as `limner.data.preprocess` takes it, if there is one."""
        if control is None:
            return super().draw(prompt, n=n, seed=seed, watch=watch, **options)
        ids = self.encoded(prompt, n)
        image = Pillow.fromarray(read_pixels(control))
        image = image.resize(extent(self.tokenizer.size)[::-1], Pillow.Resampling.BICUBIC)
        patches = self.control(to_tensor([np.asarray(image)])).expand(len(ids), -1, -1)
        return self.pictures(Controlled(ids, patches), seeds_of(len(ids) // index(n), n, seed), watch, **options)

    def images(
        self,
        captions: Sequence[str],
        seeds: Sequence[int],
        *,
        control: Image | None = None,
        watch: Watch | None = None,
        **options: Unpack[DrawOptions],
    ) -> Pixels:
        """As `TextToImage.images`; into the edges of ``control``, an image for each."""
        ids = self.subwords.encode(captions)
        condition = ids if control is None else Controlled(ids, self.control(control))
        return self.sample(condition, seeds, watch, **options)

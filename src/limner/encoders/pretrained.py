"""Vision towers that others trained, from a local folder of the `transformers` library: CLIP (arXiv:2103.00020), SigLIP
(arXiv:2303.15343), DINOv2 (arXiv:2304.07193), and what else has patches and the same interface.

    encoder = PretrainedEncoder.read(Path("clip-vit-large-patch14"), layer=-2)      # as LLaVA reads CLIP
    patches = encoder(image)

Vectors are the patches' states, class and register tokens left out; the pooled vector is the tower's own: CLIP's and
DINOv2's normalised class token, SigLIP's attention pool. Pictures in [-1, 1] are resized and normalised as the folder's
preprocessor_config.json says. Nothing is downloaded.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from limner.encoders.class_attention import Received
from limner.errors import InputError
from limner.nn import pretrained_folder
from limner.nn.pretrained_folder import described, library
from limner.types import Image, Patches

PIXELS = "preprocessor_config.json"
KIND = "vision model"


class PretrainedEncoder(nn.Module):
    """A `limner.encoders.encoder.VisionEncoder` around a tower of `transformers`.

    Args:
        tower: a vision model with patches.
        mean, deviation: of the pixels in [0, 1] that it was trained on, per channel.
        layer: the block, from 1, whose output is read; -1 is the last after the tower's norm, -2 the one before.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, tower: nn.Module, *, mean: list[float], deviation: list[float], layer: int = -1) -> None:
        super().__init__()
        self.tower: Any
        config: Any = tower.config
        self.tower, self.layer = tower, layer
        self.size, self.width = config.image_size, config.hidden_size
        self.side = config.image_size // config.patch_size
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation)[:, None, None], persistent=False)

    @classmethod
    def read(cls, folder: Path, *, layer: int = -1) -> PretrainedEncoder:
        """The tower of a folder, in fp32; of a model with a text tower too, its vision tower.

        Raises InputError if `transformers` is not installed, or the folder holds no vision model with its
        preprocessor_config.json, all of its weights and no others.
        """
        return cls._made(
            folder, layer, lambda: pretrained_folder.model(library().AutoModel, folder, KIND, dtype=torch.float32)
        )

    @classmethod
    def shaped(cls, folder: Path, *, layer: int = -1) -> PretrainedEncoder:
        """The tower that a folder describes, with random weights; errors as those of `read`."""
        return cls._made(folder, layer, lambda: described(library().AutoModel, folder, KIND).float())

    @classmethod
    def _made(cls, folder: Path, layer: int, model_fn: Callable[[], Any]) -> PretrainedEncoder:
        try:
            pixels = json.loads((folder / PIXELS).read_text(encoding="utf-8"))
            mean, deviation = list(pixels["image_mean"]), list(pixels["image_std"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{folder / PIXELS} does not say how pixels are normalised ({error!r}): copy it too"
            ) from None
        model = model_fn()
        tower = getattr(model, "vision_model", model)
        if not isinstance(getattr(tower.config, "patch_size", None), int):
            raise InputError(f"{folder} holds a {model.config.model_type}, which sees no patches: give a vision model")
        return cls(tower.eval(), mean=mean, deviation=deviation, layer=layer)

    def forward(self, image: Image) -> Patches:
        """One vector per patch, row by row, and the tower's own of the image."""
        if image.shape[-2:] != (self.size, self.size):
            image = functional.interpolate(image, size=(self.size, self.size), mode="bicubic", antialias=True)
        pixels = ((image.clamp(-1, 1) + 1) / 2 - self.mean) / self.deviation
        states: list[Tensor] = []  # versions differ in which towers list them all, but not in what a block returns
        block = self._blocks()[self.layer if self.layer < 0 else self.layer - 1]
        hook = block.register_forward_hook(lambda block, x, y: states.append(y if isinstance(y, Tensor) else y[0]))
        try:
            seen = self.tower(pixel_values=pixels)
        finally:
            hook.remove()
        vectors = seen.last_hidden_state if self.layer == -1 else states[0]
        return Patches.on_grid(vectors[:, -(self.side**2) :], self.side, self.side, seen.pooler_output)

    def attended(self, image: Image) -> tuple[Patches, Received]:
        """See `limner.encoders.class_attention.Attentive`. From the first call on the tower computes its attention
        without fused kernels, which do not return it."""
        tower: Any = self.tower
        if hasattr(tower, "set_attn_implementation"):
            tower.set_attn_implementation("eager")
        else:  # in early versions of the library CLIP's inner tower is no model of its own
            tower.config._attn_implementation = "eager"
        maps: dict[int, Tensor] = {}

        def record(layer: int, module: nn.Module, x: Any, y: Any) -> None:
            if isinstance(y, tuple) and len(y) > 1 and isinstance(y[1], Tensor) and y[1].ndim == 4:
                maps[layer] = y[1]  # [b heads tokens tokens]

        parts = [(layer, part) for layer, block in enumerate(self._blocks()) for part in block.modules()]
        hooks = [part.register_forward_hook(partial(record, layer)) for layer, part in parts]
        try:
            patches = self(image)
        finally:
            for hook in hooks:
                hook.remove()
        rows = torch.stack([maps[layer] for layer in sorted(maps)], 1)
        before = rows.shape[-1] - self.side**2
        return patches, rows[..., : 1 if before else None, before:].mean((2, 3))

    def _blocks(self) -> nn.ModuleList:
        count = cast(Any, self.tower).config.num_hidden_layers
        return next(part for part in self.tower.modules() if isinstance(part, nn.ModuleList) and len(part) == count)

"""FQGAN: a VQGAN whose encoder ends in one branch per codebook (Bai et al., arXiv:2411.16681, Sections 3.1 and 3.2).

    maps = trunk(image),   features_g = conv(silu(norm(transformer_g(maps)))),   image = decoder([z_q_1 | ... | z_q_G])

    loss = reconstruction + penalty + weight * sum_g InfoNCE(read_g(z_q_g), teacher_g(image))

The second term disentangles the sub-codes (`limner.tokenizers.quantizers.factorized`); the third asks of some of them
what a frozen encoder sees in the image, so that they come to be about meaning and leave looks to the others. What reads
them is trained beside the tokenizer and is no part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from limner.nn.blocks import vit_blocks
from limner.nn.whole_batch import Coupling
from limner.tokenizers.kl import GROUPS, group_norm
from limner.tokenizers.objective import ReconstructionObjective
from limner.tokenizers.quantizers.factorized import FactorizedQuantizer
from limner.tokenizers.quantizers.quantizer import Features
from limner.tokenizers.tokenizer import Codec, Metrics
from limner.types import Image, Rng

Maps = Float[Tensor, "b c rows columns"]


class BranchSizes(NamedTuple):
    """A transformer over ``length`` vectors of ``width`` channels."""

    width: int
    depth: int
    heads: int
    length: int


class LineTransformer(nn.Module):
    """Vectors with learnt positions through a vision transformer, normalised before and after."""

    def __init__(self, sizes: BranchSizes) -> None:
        super().__init__()
        width, depth, heads, length = sizes
        self.position = nn.Parameter(width**-0.5 * torch.randn(length, width))
        self.first_norm, self.last_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.blocks = vit_blocks(depth, width, heads, eps=1e-5)

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        return self.last_norm(self.blocks(self.first_norm(x + self.position)))


class CodeBranch(nn.Module):
    """From the maps that all sub-codes share to the features of one: ``hidden`` channels, then ``features``."""

    def __init__(self, sizes: BranchSizes, features: int, hidden: int, groups: int = GROUPS) -> None:
        super().__init__()
        self.trunk = LineTransformer(sizes)
        self.norm = group_norm(sizes.width, groups)
        self.last = nn.Conv2d(sizes.width, hidden, 3, padding=1)
        self.code = nn.Conv2d(hidden, features, 1)

    def forward(self, maps: Maps) -> Float[Tensor, "b features rows columns"]:
        line = self.trunk(rearrange(maps, "b c y x -> b (y x) c"))
        adapted = rearrange(line, "b (y x) c -> b c y x", y=maps.shape[2])
        return self.code(self.last(functional.silu(self.norm(adapted))))


class FactorizedEncoder(nn.Module):
    """Image to the features of all sub-codes, one after the other.

    Args:
        trunk: image to shared maps.
        branches: maps to the features of each sub-code.
    """

    def __init__(self, trunk: nn.Module, branches: Sequence[nn.Module]) -> None:
        super().__init__()
        self.trunk, self.branches = trunk, nn.ModuleList(branches)

    def forward(self, image: Image) -> Float[Tensor, "b features rows columns"]:
        maps = self.trunk(image)
        return torch.cat([branch(maps) for branch in self.branches], 1)


class MeaningReader(nn.Module):
    """A sub-code's latents to what a teacher sees in the image: ``channels`` of a latent, then those of the teacher's
    vector, which ``sizes`` give; their length counts a summary before the latents."""

    def __init__(self, channels: int, sizes: BranchSizes) -> None:
        super().__init__()
        width = sizes.width
        self.widen = nn.Sequential(nn.Linear(channels, width), nn.ReLU(), nn.Linear(width, width))
        self.summary = nn.Parameter(width**-0.5 * torch.randn(1, width))
        self.trunk = LineTransformer(sizes)

    def forward(self, latents: Features) -> Float[Tensor, "b d"]:
        line = self.widen(rearrange(latents, "b c y x -> b (y x) c"))
        return self.trunk(torch.cat([self.summary.expand(len(line), 1, -1), line], 1))[:, 0]


def matching(found: Float[Tensor, "b d"], wanted: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
    """InfoNCE at temperature 1: which image of the batch is this vector of? In nats; every other one is a negative."""
    cosines = functional.normalize(found, dim=-1) @ functional.normalize(wanted, dim=-1).T
    return functional.cross_entropy(cosines, torch.arange(len(found), device=found.device))


Teacher = Callable[[Image], Tensor]


@dataclass(frozen=True)
class FactorizedObjective:
    """Reconstruction, and what teachers see.

    Args:
        reconstruction: of the image, with the quantizer's penalty.
        readers: one per teacher, of the last sub-codes.
        teachers: images to vectors; frozen.
        weight: of each teacher's part.
    """

    reconstruction: ReconstructionObjective
    readers: nn.ModuleList
    teachers: Sequence[Teacher]
    weight: float = 0.5

    @property
    def coupling(self) -> Coupling | None:
        """An image is found among those of its batch."""
        return Coupling("its images are each other's negatives", 2)

    def __call__(self, model: Codec, image: Image, rng: Rng) -> tuple[Tensor, Metrics]:
        """Loss of a batch and its parts."""
        reconstruction, bottleneck = model(image, rng)
        loss, metrics = self.reconstruction.of(model, image, reconstruction, bottleneck)
        assert isinstance(model.quantizer, FactorizedQuantizer)
        parts = bottleneck.latents.split(model.quantizer.widths, 1)[-len(self.readers) :]
        for index, (reader, teacher, part) in enumerate(zip(self.readers, self.teachers, parts, strict=True)):
            with torch.no_grad():
                wanted = teacher(image)
            meaning = matching(reader(part).float(), wanted.float())
            loss, metrics[f"meaning/{index}"] = loss + self.weight * meaning, meaning.detach()
        return loss, metrics

"""A language model that draws: its own blocks are the backbone of a generator.

    masked    [caption | x_1 .. x_n]: known tokens enter as vectors, the others as a mask, each with its position; the
              picture sees all of itself and the caption; the state at a token's own position predicts it, as in MAR
    causal    [caption | x_1 .. x_i-1]: the state before token i predicts it, as in Liquid (arXiv:2412.04332)

The language model is borrowed: nothing here registers it, so its weights are saved once. Training reads
the same rows from `limner.unified.segments`, by `limner.unified.model`.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from limner.errors import InputError
from limner.generators.backbones.backbone import Contexts, Embedded
from limner.generators.conditions import Conditioning
from limner.languages.language import LanguageModel, visibility
from limner.nn.borrowed import Borrowed
from limner.nn.cache import KeyValueCache
from limner.nn.transformer import take
from limner.types import Latents, Steps


class LanguageBackbone(nn.Module):
    """A masked `limner.generators.backbones.backbone.Backbone` made of a language model.

    Args:
        language: whose blocks are used; not part of this module's state.
        count: tokens of a picture, at most.
    """

    def __init__(self, language: LanguageModel, count: int) -> None:
        super().__init__()
        self.borrowed = Borrowed(language)
        self.width, self.count = language.width, count
        scale = float(language.words.detach().std())
        self.mask = nn.Parameter(scale * torch.randn(language.width))
        self.position = nn.Parameter(scale * torch.randn(count, language.width))

    def cache(self) -> None:
        """Known tokens attend to newly known ones, so every pass is computed anew."""
        return

    def hide(
        self, x: Float[Tensor, "*rows d"], hidden: Bool[Tensor, "*rows"], offset: Int[Tensor, "*rows"]
    ) -> Float[Tensor, "*rows d"]:
        """Vectors of tokens, or the mask where they are hidden, and where in the picture they lie.

        Raises `InputError` for pictures of more tokens than this model draws.
        """
        if int(offset.max()) >= self.count:
            raise InputError(f"a picture has {int(offset.max()) + 1} tokens, but this model draws at most {self.count}")
        return torch.where(hidden[..., None], self.mask.to(x.dtype), x) + self.position[offset]

    def forward(
        self,
        x: Embedded,
        steps: Steps,
        condition: Conditioning,
        targets: Int[Tensor, "b m"],
        cache: KeyValueCache | None = None,
    ) -> Contexts:
        (batch, count), words = steps.shape, condition.prefix.shape[1]
        hidden = steps == steps.amax(1, keepdim=True)
        picture = self.hide(x, hidden, torch.arange(count, device=x.device).expand(batch, -1))
        blocks = functional.pad(torch.ones_like(steps), (words, 0))
        positions = torch.arange(words + count, device=x.device).expand(batch, -1)
        visible = visibility(torch.zeros_like(blocks), blocks)
        states = self.borrowed.module(torch.cat([condition.prefix, picture], 1), positions, visible)
        return take(states[:, words:], targets)


class CausalLanguageBackbone(nn.Module):
    """A `limner.generators.backbones.backbone.Backbone` made of a language model, for raster orders.

    Args:
        language: whose blocks are used; not part of this module's state.
        prefix: vectors of the condition.
        count: tokens of a picture.
    """

    def __init__(self, language: LanguageModel, prefix: int, count: int) -> None:
        super().__init__()
        self.borrowed = Borrowed(language)
        self.width, self.prefix, self.count = language.width, prefix, count

    def cache(self) -> Any:
        """Room for the keys and values of the whole sequence."""
        return self.borrowed.module.cache(self.prefix + self.count)

    def forward(
        self,
        x: Embedded,
        steps: Steps,
        condition: Conditioning,
        targets: Int[Tensor, "b m"],
        cache: Any = None,
    ) -> Contexts:
        done = 0 if cache is None else cache.length(0)
        y = torch.cat([condition.prefix, x[:, : int(targets.max())]], 1)[:, done:]
        index = torch.arange(done + y.shape[1], device=x.device)
        visible = (index <= index[done:, None]).expand(len(y), -1, -1)
        states = self.borrowed.module(y, index[done:].expand(len(y), -1), visible, cache)
        return take(states, targets + self.prefix - 1 - done)


class WordCondition(nn.Module):
    """Captions as the language model's own words; a `limner.generators.conditions.Condition`.

    Args:
        language: whose table is read; not part of this module's state.
        count: subwords of a caption, padded; padding is read like any subword.
    """

    def __init__(self, language: LanguageModel, count: int) -> None:
        super().__init__()
        self.borrowed = Borrowed(language)
        self.count = count
        self.nothing = nn.Embedding(count, language.width)
        with torch.no_grad():
            self.nothing.weight.mul_(language.words.std())

    def forward(self, condition: Int[Tensor, "b k"], dropped: Bool[Tensor, "b"]) -> Conditioning:
        x = self.borrowed.module.embed(condition)
        return Conditioning(torch.where(dropped[:, None, None], self.nothing.weight.to(x.dtype), x))


class WordSpan(nn.Module):
    """Latents as points in the span of the words: ``mu + A(x) S V'`` with ``mu`` the mean of the table and ``S V'`` its
    first ``rank`` principal directions, each as long as the words spread along it.

    The directions are those of the table when this is made or `settle` is called; ``A`` is learned.

    Args:
        channels: of a token.
        words: the table.
        rank: directions; the words' own principal components.
    """

    mean: Tensor
    directions: Tensor

    def __init__(self, channels: int, words: Float[Tensor, "v d"], rank: int) -> None:
        super().__init__()
        self.coordinates = nn.Linear(channels, rank)
        self.register_buffer("mean", torch.zeros(words.shape[1]))
        self.register_buffer("directions", torch.zeros(rank, words.shape[1]))
        self.settle(words)

    @torch.no_grad()
    def settle(self, words: Float[Tensor, "v d"]) -> None:
        """Take mean and principal directions from a table."""
        table = words.detach().float()
        self.mean.copy_(table.mean(0))
        _, spread, axes = torch.linalg.svd(table - self.mean, full_matrices=False)
        rank = len(self.directions)
        self.directions.copy_(axes[:rank] * (spread[:rank, None] / len(table) ** 0.5))

    def forward(self, tokens: Latents) -> Float[Tensor, "b n d"]:
        """One vector per token."""
        return self.mean + self.coordinates(tokens) @ self.directions

"""A language model that draws: masked autoregression with its own blocks as the backbone.

    slots     the caption's words, then every token of the picture: known ones through the basis of words, others a mask
    contexts  last hidden states of the picture's slots; a diffusion head draws tokens from them, as in MAR

The picture sees itself whole and the caption, the caption itself alone. Known tokens enter where seen pictures enter,
in the span of the model's own words, so that what is drawn and what is seen are read alike.

The language model belongs to whoever holds it: nothing here registers it, so its weights are saved once.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from limner.generators.backbones.backbone import Contexts, Embedded
from limner.generators.conditions import Prefix
from limner.languages.language import LanguageModel, sight
from limner.nn.borrowed import Borrowed
from limner.nn.cache import KeyValueCache
from limner.nn.transformer import take
from limner.types import Latents, Steps


class LanguageBackbone(nn.Module):
    """A `limner.generators.backbones.backbone.Backbone` made of a language model.

    Args:
        language: whose blocks are used; not part of this module's state.
        count: tokens of a picture.
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

    def forward(
        self,
        x: Embedded,
        steps: Steps,
        prefix: Float[Tensor, "b k d"],
        wanted: Int[Tensor, "b m"],
        cache: KeyValueCache | None = None,
    ) -> Contexts:
        known = steps < steps.amax(1, keepdim=True)
        slots = torch.where(known[..., None], x, self.mask.to(x.dtype)) + self.position
        batch, words = prefix.shape[:2]
        pictures = torch.ones(batch, words + self.count, dtype=torch.long, device=x.device)
        pictures[:, :words] = 0
        places = torch.arange(words + self.count, device=x.device).expand(batch, -1)
        hidden = self.borrowed.module(
            torch.cat([prefix, slots], 1), places, sight(torch.zeros_like(pictures), pictures)
        )
        return take(hidden[:, words:], wanted)


class Prompt(nn.Module):
    """Captions as the language model's own words; a `limner.generators.conditions.Condition`.

    Args:
        language: whose table is read; not part of this module's state.
        count: subwords of a caption, padded; padding is read like any subword.
    """

    def __init__(self, language: LanguageModel, count: int) -> None:
        super().__init__()
        self.borrowed = Borrowed(language)
        self.count = count
        self.nothing = nn.Parameter(float(language.words.detach().std()) * torch.randn(count, language.width))

    def forward(self, given: Int[Tensor, "b k"], dropped: Bool[Tensor, "b"]) -> Prefix:
        x = self.borrowed.module.embed(given)
        return torch.where(dropped[:, None, None], self.nothing.to(x.dtype), x)


class WordSpan(nn.Module):
    """Latents as points in the span of the words: ``mu + A(x) S V'`` with ``mu`` the mean of the table and ``S V'`` its
    first ``rank`` principal directions, each as long as the words spread along it.

    The directions are those of the table when this is made or `settle` is called; ``A`` is learnt.

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

"""One language model over text and pictures: what every kind of token enters by, and what predicts it.

    x_i        words[id]  of text;  inputs[kind](token)  of other kinds, or the token itself where that is a vector
    h          language(x, positions, visible)
    loss_kind  mean over learned tokens i of the kind of  heads[kind].loss(h[source of i], token_i)

Ids of pictures predicted one after the other are Liquid (arXiv:2412.04332); continuous tokens, masked, under a
diffusion head are Harmon (arXiv:2503.21979), which draws as MAR does. Rows: `limner.unified.segments`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from limner.errors import InputError
from limner.generators.heads.head import Head
from limner.generators.heads.words import WordHead
from limner.generators.orders import Order, RandomMasked
from limner.languages.language import LanguageModel, Vectors
from limner.nn.whole_batch import over_batch
from limner.types import Layout, Rng
from limner.unified.drawing import LanguageBackbone
from limner.unified.segments import KINDS, Kind, Packed, embed


class Unified(nn.Module):
    """Language model, inputs and heads.

    Args:
        language: reads all tokens.
        inputs: tokens of a kind, ``[1 m]`` ids or ``[1 m c]`` values, to vectors; a kind that has a head and no input
            enters by the head's embedding, one that has neither is vectors already.
        heads: of learned kinds; text has the language model's own.
        masking: what stands for tokens of ``drawn`` pictures that are hidden, and where each lies; needed for segments
            with rule ``masked``.
        order: which of their tokens are hidden in training.
    """

    def __init__(
        self,
        language: LanguageModel,
        inputs: Mapping[str, nn.Module],
        heads: Mapping[str, Head],
        *,
        masking: LanguageBackbone | None = None,
        order: Order | None = None,
    ) -> None:
        super().__init__()
        self.language = language
        self.inputs = nn.ModuleDict(dict(inputs))
        self.heads = nn.ModuleDict({"text": WordHead(language), **cast(Mapping[str, nn.Module], heads)})
        self.masking, self.order = masking, order or RandomMasked()

    def head(self, kind: Kind) -> Head:
        """Of a kind; raises `InputError` if its tokens are learned and nothing predicts them."""
        if kind not in self.heads:
            raise InputError(f"tokens of kind {kind!r} are learned, but no head predicts them: give heads[{kind!r}]")
        return cast(Head, self.heads[kind])

    def embed(self, packed: Packed, hidden: Bool[Tensor, "b n"] | None = None) -> Vectors:
        """Input vectors of every token; those at ``hidden`` are masks."""
        vectors: dict[Kind, Tensor] = {}
        for kind in KINDS[1:]:
            inside = packed.of(kind)
            if not inside.any():
                continue
            x = packed.tokens(kind)
            if kind in self.inputs:
                x = self.inputs[kind](x[None])[0]
            elif kind in self.heads:
                x = self.head(kind).embed(x[None])[0]
            if kind == "drawn" and self.masking is not None:
                masked = torch.zeros_like(inside) if hidden is None else hidden
                x = self.masking.hide(x, masked[inside], packed.offsets[inside])
            vectors[kind] = x
        return embed(packed, self.language.embed, vectors)

    def hidden(self, packed: Packed, hidden: Bool[Tensor, "b n"] | None = None) -> Vectors:
        """Last hidden states of every token, where those at ``hidden`` are masks."""
        return self.language(self.embed(packed, hidden), packed.positions, packed.visible())

    def loss(self, packed: Packed, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        """Mean loss of every kind that is learned, in its head's unit; their weights are the lesson's.

        Raises `InputError` for learned tokens without a head, and masked ones without ``masking``.
        """
        masked = self.masks(packed, rng)
        return self.losses(packed, self.hidden(packed, masked), masked, rng)

    def losses(
        self, packed: Packed, states: Vectors, masked: Bool[Tensor, "b n"], rng: Rng
    ) -> dict[str, Float[Tensor, ""]]:
        """The same from last hidden states, for lessons that have other losses of these."""
        found: dict[str, Tensor] = {}
        for kind in KINDS:
            learned = packed.learned(kind) & (masked | ~packed.masked())
            if learned.any():
                row, _ = learned.nonzero(as_tuple=True)
                contexts = states[row, packed.sources[learned]]
                tokens = packed.tokens(kind)[learned[packed.of(kind)]]
                rows = _even_rows(learned)
                contexts, tokens = contexts.unflatten(0, (rows, -1)), tokens.unflatten(0, (rows, -1))
                mean = self.head(kind).loss(contexts, tokens, rng).mean()
                found[kind] = over_batch(mean, learned.sum(), kind)
        return found

    def masks(self, packed: Packed, rng: Rng) -> Bool[Tensor, "b n"]:
        """Which tokens of masked segments are hidden in this step: those that the order predicts."""
        inside = packed.masked()
        hidden = torch.zeros_like(inside)
        if not inside.any():
            return hidden
        if self.masking is None:
            raise InputError("a picture is to be drawn by masks, but this model has none: give it masking")
        starts = (packed.offsets[inside] == 0).nonzero()[:, 0]
        lengths = torch.diff(starts, append=starts.new_tensor([int(inside.sum())]))
        segment = torch.repeat_interleave(torch.arange(len(starts), device=starts.device), lengths)
        flat = torch.zeros(len(segment), dtype=torch.bool, device=inside.device)
        for length in lengths.unique().tolist():
            steps = self.order.training_steps(int((lengths == length).sum()), Layout(((length,),)), rng)
            flat[lengths[segment] == length] = (steps > 0).flatten()
        return hidden.masked_scatter(inside, flat)


def _even_rows(learned: Bool[Tensor, "b n"]) -> int:
    """Rows, if equally many tokens are learned in each, so that noise is drawn row by row; else 1: all in one."""
    counts = learned.sum(1)
    return len(counts) if bool((counts == counts[0]).all()) else 1

"""A language model that goes on with fewer tokens of a picture from layer to layer, as a reader of packed rows.

    before layer l, if share(l) is less than what is left:
        kept = top-k of score(layer l) among the picture's tokens,    k = floor(n * share(l)),  n as it was at first
        x, mask, positions <- those of the text and of what is kept, in their order

What is dropped is in no later layer, neither computed nor cached. The choice is made where the rows are first read and
holds for what is written behind them, so that a pass with a cache equals one without. Hidden states come back in their
places, zeros where a token was dropped. With every share 1 nothing is touched.

PyramidDrop (arXiv:2410.17247) and AIM (arXiv:2412.03248) are each a share and a score.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from limner.errors import InputError
from limner.languages.language import LanguageModel, Layered, Vectors
from limner.nn.blocks import ALL, Block, Context, Rows, hooked
from limner.nn.transformer import Sequence, put
from limner.unified.segments import PADDING, Packed

Reader: TypeAlias = Callable[[LanguageModel, Packed], LanguageModel]  # the model as it reads these rows


def whole_rows(language: LanguageModel, packed: Packed) -> LanguageModel:
    """The reader that reads everything in every layer."""
    return language


class Layer(NamedTuple):
    """What one layer would read of the rows.

    Args:
        block, number: which it is.
        x, context: its input.
        seen: which tokens are a picture's.
        asking: which tokens predict the first of an answer.
    """

    block: Block
    number: int
    x: Sequence
    context: Context
    seen: Bool[Tensor, "b n"]
    asking: Bool[Tensor, "b n"]

    def weights(self, rows: Rows = ALL) -> Float[Tensor, "b heads rows n"]:
        """Its attention, were it to read this; see `limner.nn.blocks.Attention.weights`."""
        return self.block.weights(self.x, self.context._replace(cache=None), self.number, rows)


Share: TypeAlias = Callable[[int], float]  # layer -> share of a picture's tokens that it reads, of all that there were
Score: TypeAlias = Callable[[Layer, Layer], Float[Tensor, "b n"]]  # (layer, the one before) -> what a token is worth


@dataclass(frozen=True)
class Dropping:
    """A `Reader`.

    Args:
        share: of the picture, layer by layer; it counts where it falls.
        score: the larger, the sooner a token is kept; only the picture's are compared.
        recount: positions are counted anew without gaps; else every token stays where it stood.

    Raises `InputError` for a language model whose layers are not to be reached.
    """

    share: Share
    score: Score
    recount: bool = True

    def __call__(self, language: LanguageModel, packed: Packed) -> LanguageModel:
        return DroppingLanguage(
            layered(language), self, packed.of("seen"), asking(packed), packed.branches != PADDING, packed.positions
        )


def layered(language: LanguageModel) -> Layered:
    """The language model as one of layers; raises `InputError` if it does not show them."""
    if not isinstance(language, Layered):
        raise InputError(
            f"tokens are dropped between layers, which a {type(language).__name__} does not show: use one of limner's "
            "own language models"
        )
    return language


def asking(packed: Packed) -> Bool[Tensor, "b n"]:
    """The tokens that predict the first of an answer; in a row without one, its last token."""
    first = packed.learned("text") & (packed.offsets == 0)
    row, column = first.nonzero(as_tuple=True)
    found = torch.zeros_like(first)
    found[row, packed.sources[row, column]] = True
    none = ~found.any(1)
    found[none, packed.lengths()[none] - 1] = True
    return found


class Boundary(NamedTuple):
    """What is left from one layer on: ``kept``, of the tokens that the layers before it read; and of all tokens of the
    rows which are ``present``. Rows that keep fewer than others are filled up with tokens that are not."""

    kept: Int[Tensor, "b k"]
    present: Bool[Tensor, "b n"]
    filled: Bool[Tensor, "b k"]


class DroppingLanguage(nn.Module):
    """A `limner.languages.language.LanguageModel` for one batch of rows; see `Dropping`.

    Args:
        language: whose layers these are.
        rule: what to keep.
        seen, asking: of the rows' tokens, see `Layer`; what is written later is behind them.
        there: which are no padding.
        positions: where they stand.
    """

    def __init__(
        self,
        language: Layered,
        rule: Dropping,
        seen: Bool[Tensor, "b n"],
        asking: Bool[Tensor, "b n"],
        there: Bool[Tensor, "b n"],
        positions: Int[Tensor, "b n"],
    ) -> None:
        super().__init__()
        self.language, self.rule = language, rule
        self.width, self.length = language.width, language.length
        self.seen, self.asking, self.there, self.positions = seen, asking, there, positions
        self.boundaries: dict[int, Boundary] = {}

    @property
    def words(self) -> Float[Tensor, "v d"]:
        """The table, live."""
        return self.language.words

    def embed(self, ids: Int[Tensor, "b n"]) -> Vectors:
        """Rows of the table."""
        return self.language.embed(ids)

    def logits(self, hidden: Vectors) -> Float[Tensor, "b n v"]:
        """The language model's."""
        return self.language.logits(hidden)

    def cache(self, length: int) -> Any:
        """Room for ``length`` tokens."""
        return self.language.cache(length)

    def forward(
        self,
        x: Vectors,
        places: Int[Tensor, "b n"],
        visible: Bool[Tensor, "b n total"],
        cache: Any = None,
    ) -> Vectors:
        """Last hidden states, in the places of their tokens."""
        first = cache is None or cache.length(self.language.blocks.first) == 0
        reading = First(self, places) if first else Later(self, places)
        with hooked(self.language.blocks, reading):
            hidden = self.language(x, places, visible, cache)
        return reading.placed(hidden) if isinstance(reading, First) else hidden

    def moved(self, boundary: Boundary, places: Int[Tensor, "b m"]) -> Int[Tensor, "b m"]:
        """Places without the gaps that dropped tokens leave before them."""
        gone = self.there & ~boundary.present
        earlier = self.positions[:, None, :] < places[:, :, None]
        return places - (earlier & gone[:, None, :]).sum(-1)


class First:
    """The hook of the pass that reads the rows: it chooses, and remembers."""

    def __init__(self, owner: DroppingLanguage, places: Int[Tensor, "b n"]) -> None:
        self.owner, self.places = owner, places
        more = (0, places.shape[1] - owner.seen.shape[1])  # what was written already, where nothing is cached
        self.seen, self.asking = (functional.pad(part, more) for part in (owner.seen, owner.asking))
        self.present = functional.pad(owner.there, more, value=True)
        self.counts = self.seen.sum(1)
        self.tokens = torch.arange(places.shape[1], device=places.device).expand(len(places), -1)
        self.before: Layer | None = None

    def __call__(self, number: int, x: Sequence, context: Context) -> tuple[Float[Tensor, "b kept d"], Context]:
        blocks = self.owner.language.blocks
        block = cast(Block, blocks[number - blocks.first])
        seen = (self.seen & self.present).gather(1, self.tokens)
        now = Layer(block, number, x, context, seen, self.asking.gather(1, self.tokens))
        keep = (self.counts.double() * self.owner.rule.share(number)).long()
        if bool((keep < seen.sum(1)).any()):
            now = self._drop(now, keep)
        self.before = now
        return now.x, now.context

    def placed(self, hidden: Float[Tensor, "b kept d"]) -> Float[Tensor, "b n d"]:
        """The states of what is left in their places, and zeros where tokens were dropped."""
        if not self.owner.boundaries:
            return hidden
        left = self.present.gather(1, self.tokens)[..., None]
        return put(hidden.new_zeros(*self.places.shape, hidden.shape[2]), self.tokens, hidden * left)

    def _drop(self, now: Layer, keep: Int[Tensor, "b"]) -> Layer:
        """The layer without the tokens of least score."""
        with torch.no_grad():
            score = self.owner.rule.score(now, now if self.before is None else self.before)
        score = score.masked_fill(~now.seen, float("-inf"))
        rank = score.argsort(dim=1, descending=True, stable=True).argsort(1)
        stays = ~now.seen | (rank < keep[:, None])
        stays &= self.present.gather(1, self.tokens)
        kept = (~stays).long().argsort(dim=1, stable=True)[:, : int(stays.sum(1).max())]
        self.present = self.present & put(torch.ones_like(self.present), self.tokens, stays)
        filled = stays.gather(1, kept)
        self.tokens = self.tokens.gather(1, kept)
        before = self.owner.seen.shape[1]  # what is written behind the rows is always there
        self.owner.boundaries[now.number] = boundary = Boundary(kept, self.present[:, :before], filled)
        x = now.x.take_along_dim(kept[..., None], 1)
        context = _unseen(now.context.at(kept), filled, own=True)
        if self.owner.rule.recount:
            places = self.owner.moved(boundary, self.places.gather(1, self.tokens))
            context = context._replace(rotate=self.owner.language.rotation(places))
        return now._replace(
            x=x, context=context, seen=now.seen.gather(1, kept) & filled, asking=now.asking.gather(1, kept) & filled
        )


class Later:
    """The hook of a pass behind the rows, whose tokens all stay: it reads of the rows what they kept."""

    def __init__(self, owner: DroppingLanguage, places: Int[Tensor, "b n"]) -> None:
        self.owner, self.places = owner, places
        self.count = owner.seen.shape[1]

    def __call__(self, number: int, x: Sequence, context: Context) -> tuple[Sequence, Context]:
        boundary = self.owner.boundaries.get(number)
        if boundary is None:
            return x, context
        assert context.mask is not None, "what is written sees the rows through a mask"
        rows, total = len(x), context.mask.shape[-1]
        written = torch.arange(self.count, total, device=x.device).expand(rows, -1)
        tokens = torch.arange(x.shape[1], device=x.device).expand(rows, -1)
        self.count = boundary.kept.shape[1]
        context = context.at(tokens, torch.cat([boundary.kept, written], 1))
        seen = torch.cat([boundary.filled, torch.ones_like(written, dtype=torch.bool)], 1)
        context = _unseen(context, seen, own=False)
        if self.owner.rule.recount:
            context = context._replace(rotate=self.owner.language.rotation(self.owner.moved(boundary, self.places)))
        return x, context


def _unseen(context: Context, there: Bool[Tensor, "b keys"], *, own: bool) -> Context:
    """A context in which nobody sees the keys that are not ``there``, but, where queries are the keys, each itself."""
    if bool(there.all()) or context.mask is None:
        return context
    mask = context.mask & there[:, None, None, :]
    if own:
        mask = mask | torch.eye(there.shape[1], dtype=torch.bool, device=there.device)
    return context._replace(mask=mask)

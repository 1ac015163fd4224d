"""Text and pictures in any order as rows of tokens, laid out for a language model.

    row      segments, one after the other: text, pictures that are seen, pictures that are drawn, special tokens
    rule     causal   a token sees all before it, and the token before it predicts it      (Liquid, arXiv:2412.04332)
             full     tokens of the segment see each other too; nothing predicts them
             masked   as full, but an order hides some tokens, which their own positions predict (MAR, arXiv:2406.11838)
    branch   0 is seen by all that follows; a branch b > 0 sees branch 0 and itself, and goes on where branch 0 ended

A masked segment is seen by nobody else, and what follows stands where it stands: when it is drawn none of its tokens is
hidden any more, so its copy, with rule full, is what later text reads. Many questions about one picture are branches:
they cost one reading of it. Padding changes nothing: it sees itself alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, TypeAlias

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from limner.errors import InputError
from limner.languages.language import Vectors, visibility

Kind: TypeAlias = Literal["text", "seen", "drawn", "special"]
Rule: TypeAlias = Literal["causal", "full", "masked"]

KINDS: tuple[Kind, ...] = ("text", "seen", "drawn", "special")
COLUMNS = ("ids", "kinds", "offsets", "blocks", "branches", "positions", "sources")  # of `Packed`, a row per row
VALUES = "values of "  # before a kind
NOTHING = -100  # in place of an id or an index: nothing is learned here
PADDING = -1  # in place of a kind or a branch


class Segment(NamedTuple):
    """A run of tokens of one kind.

    Args:
        kind: ``text``; a picture that is ``seen`` or ``drawn``; ``special``, vectors that are no words, such as those
            that begin and end a picture, or stand for a prompt that is withheld.
        ids: of discrete tokens, in the vocabulary of their kind.
        values: of continuous tokens.
        length: of tokens whose vectors are given when the rows are embedded, such as an encoder's.
        learned: whether the tokens bear a loss.
        rule: what they see, and what predicts them.
        branch: which they are part of.
    """

    kind: Kind
    ids: Sequence[int] | Int[Tensor, "n"] | None = None
    values: Float[Tensor, "n c"] | None = None
    length: int = 0
    learned: bool = False
    rule: Rule = "causal"
    branch: int = 0

    @property
    def size(self) -> int:
        """Tokens."""
        return next((len(tokens) for tokens in (self.ids, self.values) if tokens is not None), self.length)


@dataclass(frozen=True)
class Packed:
    """A batch of rows, padded to the longest.

    Args:
        ids: of discrete tokens; 0 elsewhere.
        kinds: index into `KINDS`, or `PADDING`.
        offsets: of tokens within their segment.
        blocks: number of the segment, from 1, whose tokens see each other; 0 for causal ones.
        branches: 0, which all see, or another number; `PADDING`.
        positions: of the language model.
        sources: index of the position that predicts a token; `NOTHING` where nothing is learned.
        values: continuous tokens by kind, those of all rows one after the other.
    """

    ids: Int[Tensor, "b n"]
    kinds: Int[Tensor, "b n"]
    offsets: Int[Tensor, "b n"]
    blocks: Int[Tensor, "b n"]
    branches: Int[Tensor, "b n"]
    positions: Int[Tensor, "b n"]
    sources: Int[Tensor, "b n"]
    values: dict[str, Float[Tensor, "m c"]] = field(default_factory=dict)

    def of(self, kind: Kind) -> Bool[Tensor, "b n"]:
        """Which tokens are of a kind."""
        return self.kinds == KINDS.index(kind)

    def tokens(self, kind: Kind) -> Shaped[Tensor, "m *c"]:
        """Those of a kind, of all rows one after the other: values, or ids where there are none."""
        return self.values[kind] if kind in self.values else self.ids[self.of(kind)]

    def masked(self) -> Bool[Tensor, "b n"]:
        """Which tokens an order may hide: their own positions predict them."""
        return self.sources == torch.arange(self.ids.shape[1], device=self.ids.device)

    def learned(self, kind: Kind) -> Bool[Tensor, "b n"]:
        """Which tokens of a kind bear a loss."""
        return self.of(kind) & (self.sources != NOTHING)

    @property
    def targets(self) -> Int[Tensor, "b n"]:
        """At each position the subword that it predicts, or `NOTHING`."""
        row, column = self.learned("text").nonzero(as_tuple=True)
        found = torch.full_like(self.ids, NOTHING)
        found[row, self.sources[row, column].long()] = self.ids[row, column]
        return found

    def visible(self) -> Bool[Tensor, "b n n"]:
        """Which token (row) sees which (column)."""
        seen = visibility(self.branches, self.blocks)
        hidden = self.masked()
        if not hidden.any():
            return seen
        return seen & (~hidden[:, None, :] | (self.blocks[:, :, None] == self.blocks[:, None, :]))

    def pictured(self) -> Bool[Tensor, "b"]:
        """Which rows show a picture."""
        return self.of("seen").any(1)

    def lengths(self) -> Int[Tensor, "b"]:
        """Tokens of each row."""
        return (self.branches != PADDING).sum(1)

    def showing(self, kind: Kind, values: Float[Tensor, "m c"]) -> Packed:
        """The same with continuous tokens of a kind, of all rows one after the other."""
        return replace(self, values={**self.values, kind: values})

    def to(self, device: torch.device) -> Packed:
        """The same on a device."""
        return Packed.from_dict({name: value.to(device) for name, value in self.to_dict().items()})

    def to_dict(self) -> dict[str, Tensor]:
        """The tensors by name, for a batch of the training loop."""
        columns = {name: getattr(self, name) for name in COLUMNS}
        return columns | {f"{VALUES}{kind}": value for kind, value in self.values.items()}

    @classmethod
    def from_dict(cls, batch: Mapping[str, Tensor]) -> Packed:
        """What `to_dict` gave, out of a batch that may hold more."""
        values = {name.removeprefix(VALUES): value for name, value in batch.items() if name.startswith(VALUES)}
        columns = {name: batch[name] for name in COLUMNS}
        return cls(**columns, values=values)


def lay_out(rows: Sequence[Sequence[Segment]], *, length: int | None = None) -> Packed:
    """Rows of segments as one batch.

    Args:
        rows: any number of segments in any order.
        length: positions of the language model; None does not check.

    Raises `InputError` for a row of more positions, for a segment that has no token, is learned but not predicted or
    the other way round, or for pictures of one kind of which only some have values.
    """
    laid = [_row(row, number, length) for number, row in enumerate(rows, 1)]
    longest = max(len(row[0]) for row in laid)
    filling = (0, PADDING, 0, 0, PADDING, 0, NOTHING)
    columns = {
        name: torch.tensor([column + [fill] * (longest - len(column)) for column in columns])
        for name, columns, fill in zip(COLUMNS, zip(*laid, strict=True), filling, strict=True)
    }
    return Packed(**columns, values=_values(rows))


def _row(row: Sequence[Segment], number: int, length: int | None) -> tuple[list[int], ...]:
    """Columns as the first seven of `Packed`."""
    columns: tuple[list[int], ...] = ([], [], [], [], [], [], [])
    ends: dict[int, tuple[int, int]] = {0: (0, NOTHING)}  # of each branch: next position, last token
    for block, segment in enumerate(row, 1):
        count, start = segment.size, len(columns[0])
        _check(segment, count)
        position, last = ends.setdefault(segment.branch, ends[0])
        own = range(start, start + count)
        causal = segment.rule == "causal"
        ids = [0] * count if segment.ids is None else segment.ids
        sources = [NOTHING] * count
        if segment.learned:
            sources = [last, *own[:-1]] if causal else list(own)
        runs: tuple[Sequence[int], ...] = (
            ids.tolist() if isinstance(ids, Tensor) else ids,
            [KINDS.index(segment.kind)] * count,
            range(count),
            [0 if causal else block] * count,
            [segment.branch] * count,
            range(position, position + count),
            sources,
        )
        for column, run in zip(columns, runs, strict=True):
            column += run
        if length is not None and position + count > length:
            raise InputError(
                f"row {number} has {position + count} positions or more, but the language model has {length}: give "
                "less text or fewer pictures, or build it for more"
            )
        if segment.rule != "masked":
            ends[segment.branch] = (position + count, start + count - 1)
    return columns


def _check(segment: Segment, count: int) -> None:
    if count == 0:
        raise InputError(f"a segment of kind {segment.kind!r} has no token: leave it out, or give ids or values")
    if segment.learned and segment.rule == "full":
        raise InputError("a segment with rule 'full' is learned, but nothing predicts its tokens: choose another rule")
    if not segment.learned and segment.rule == "masked":
        raise InputError("a segment with rule 'masked' is not learned, so nothing is to be hidden: choose 'full'")


def _values(rows: Sequence[Sequence[Segment]]) -> dict[str, Tensor]:
    """Continuous tokens by kind."""
    found: dict[str, Tensor] = {}
    for kind in KINDS:
        segments = [segment for row in rows for segment in row if segment.kind == kind]
        values = [segment.values for segment in segments if segment.values is not None]
        if values and len(values) != len(segments):
            raise InputError(
                f"{len(values)} of {len(segments)} {kind!r} segments have values: give them to all, or to none"
            )
        if values:
            found[kind] = torch.cat(values)
    return found


def embed(
    packed: Packed, words: Callable[[Int[Tensor, "b n"]], Vectors], vectors: Mapping[Kind, Float[Tensor, "m d"]]
) -> Vectors:
    """Input vectors of every token: words, and by kind the vectors of the others, of all rows one after the other.

    Raises `InputError` if there are more or fewer vectors of a kind than tokens.
    """
    x = words(packed.ids)
    for kind, given in vectors.items():
        inside = packed.of(kind)
        if (count := int(inside.sum())) != len(given):
            raise InputError(f"{count} tokens of kind {kind!r} were laid out, but {len(given)} vectors given for them")
        x = x.masked_scatter(inside[..., None], given.to(x.dtype))
    return x

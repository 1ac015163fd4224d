"""The world of the study: scenes of one to three things on white, questions about them, descriptions in words.

    picture       64 pixels, cut into 4 x 4 patches                              -> 16 slots
    description   "small red heart top left , large blue star right"             -> at most 20 slots
    questions     colour, shape, size, place, number, presence: up to six a row, which do not see each other

Questions that stayed at chance in minutes of training on one core (relations, comparisons) are left out. A row is laid
out once; a training only takes rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from limner.data.conversations import DESCRIBE, Turn
from limner.data.scenes import Scene, Scenes
from limner.data.scenes.sampling import Split
from limner.data.scenes.scene import random_for
from limner.data.scenes.world import COLOURS, POSITIONS, SHAPES, SIZES, WORLD
from limner.languages.subwords import Subwords
from limner.types import Patches
from limner.unified.conversation import pack, segments_of
from limner.unified.segments import NOTHING, PADDING, Packed, Segment, lay_out

SIZE, PATCH, SLOTS = 64, 16, 16
KINDS = ("exists", "colour", "shape", "size", "position", "count")
TURNS = 6
VOCABULARY = 256
COVERED = PATCH**2 // 4  # pixels of a patch from which a thing is in it
ROOM = 20  # subwords of the longest description


@dataclass(frozen=True)
class Rows:
    """Rows of talk, ``kinds`` of their turns as numbers (-1: no turn), ``coming``: the next subword at every slot."""

    packed: Packed
    kinds: Int[Tensor, "n turns"]
    coming: Int[Tensor, "n slots"]

    def __len__(self) -> int:
        return len(self.kinds)

    def take(self, index: Int[Tensor, "b"]) -> Rows:
        """Some rows, as wide as the widest of them."""
        width = int((self.packed.branches[index] != PADDING).any(0).nonzero().max()) + 1
        parts = {name: value[index, :width].long() for name, value in self.packed.to_dict().items()}
        return Rows(Packed.from_dict(parts), self.kinds[index].long(), self.coming[index, :width].long())

    def to_dict(self) -> dict[str, Tensor]:
        """The tensors by name, as small as they can be kept."""
        tensors = {**self.packed.to_dict(), "questions": self.kinds, "coming": self.coming}
        return {name: value.to(torch.int16).contiguous() for name, value in tensors.items()}

    @classmethod
    def from_dict(cls, tensors: dict[str, Tensor]) -> Rows:
        """What `to_dict` gave."""
        return cls(Packed.from_dict(tensors), tensors["questions"], tensors["coming"])


@dataclass(frozen=True)
class Pool:
    """Scenes as what a connector is given: features of patches, rows of talk about them, symbols of what lies
    in every patch, and a tokenizer's latents."""

    features: Float[Tensor, "n slots f"]
    rows: Rows
    symbols: Int[Tensor, "n slots 4"]
    latents: Float[Tensor, "n slots c"]

    def patches(self, index: Int[Tensor, "rows"]) -> Patches:
        """What the encoder sees in these scenes."""
        return seen(self.features[index])


def seen(features: Float[Tensor, "n slots f"]) -> Patches:
    """Features with their positions."""
    return Patches.on_grid(features, SIZE // PATCH, SIZE // PATCH)


def scenes(split: Split, seed: int, length: int) -> Scenes:
    """Scenes whose captions name size, colour, shape and place of every thing."""
    return Scenes(seed, split=split, size=SIZE, objects=(1, 3), phrasing=3, length=length)


class Placed(NamedTuple):
    """What is said of a thing, and the slot of the patch in which its middle lies."""

    text: str
    place: int


def described(scene: Scene) -> list[Placed]:
    """Every thing in words, without little ones."""
    side, unit = SIZE // PATCH, WORLD * PATCH / SIZE
    return [
        Placed(
            f"{thing.size} {thing.colour} {thing.shape} {thing.position}",
            side * int(thing.y / unit) + int(thing.x / unit),
        )
        for thing in scene.things
    ]


def retold(told: Sequence[Placed], rng: Random) -> str:
    """A description as one text, its things in another order, and mostly each of them backwards. To tell so is what a
    small language model learns to look things up from."""
    things = [thing.text for thing in told]
    rng.shuffle(things)
    if rng.random() < 2 / 3:
        things = [" ".join(reversed(thing.split())) for thing in things]
    return " , ".join(things)


def turns(scene: Scene, index: int) -> list[Turn]:
    """Up to `TURNS` questions, their kinds equally likely."""
    kinds: dict[str, list[Turn]] = {}
    for asked in scene.questions():
        if asked.kind in KINDS and (asked.kind != "size" or len(asked.about) == 1):
            kinds.setdefault(asked.kind, []).append(Turn(asked.text, asked.answer, asked.kind))
    rng = random_for(scene.key, "turns", index)
    chosen: list[Turn] = []
    while kinds and len(chosen) < TURNS:
        kind = list(kinds)[int(rng.random() * len(kinds))]
        chosen.append(kinds[kind].pop())
        if not kinds[kind]:
            del kinds[kind]
    return chosen


def vocabulary(seed: int, count: int) -> Subwords:
    """Subwords of what is asked, answered and told of some scenes."""
    source = scenes("train", seed, count)

    def said() -> Iterator[str]:
        for index in range(count):
            yield " , ".join(thing.text for thing in described(source[index]))
            for turn in turns(source[index], index):
                yield from turn[:2]
        yield DESCRIBE

    return Subwords.trained(said(), size=VOCABULARY, length=ROOM, speaks=True)


def asked_rows(conversations: Sequence[Sequence[Turn]], words: Subwords) -> Rows:
    """Rows of questions after the tokens of a picture."""
    return _rows(pack(conversations, words, SLOTS), conversations)


def told_rows(told: Sequence[Sequence[Placed]], conversations: Sequence[Sequence[Turn]], words: Subwords) -> Rows:
    """Rows of questions after descriptions in words, which lie where the things lie and see each other, as the tokens
    of a picture do."""
    spelled = [[(subword, place) for text, place in things for subword in words.ids(text)] for things in told]
    packed = lay_out(
        [
            [Segment("text", [subword for subword, _ in placed], rule="full"), *segments_of(turns, words, 0)]
            for placed, turns in zip(spelled, conversations, strict=True)
        ]
    )
    for row, placed in enumerate(spelled):
        packed.positions[row, len(placed) :] += SLOTS - len(placed)
        packed.positions[row, : len(placed)] = torch.tensor([place for _, place in placed])
    return _rows(packed, conversations)


def _rows(packed: Packed, conversations: Sequence[Sequence[Turn]]) -> Rows:
    kinds = torch.full((len(conversations), max(map(len, conversations))), -1)
    for row, turns in enumerate(conversations):
        for place, turn in enumerate(turns):
            kinds[row, place] = KINDS.index(turn.kind) if turn.kind in KINDS else -1
    same = (packed.branches[:, 1:] == packed.branches[:, :-1]) & packed.of("text")[:, 1:]
    coming = torch.where(same, packed.ids[:, 1:], NOTHING)
    return Rows(packed, kinds, functional.pad(coming, (0, 1), value=NOTHING))


SYMBOLS = (*COLOURS, *SHAPES, *SIZES, *POSITIONS)


def symbols_in_place(scene: Scene) -> Int[np.ndarray, "slots 4"]:
    """Numbers, from 1, of colour, shape, size and place of the thing that covers most of each patch; 0 where none
    does."""
    side = SIZE // PATCH
    found = np.zeros((SLOTS, 4), dtype=np.int64)
    cover = np.stack([mask.reshape(side, PATCH, side, PATCH).sum((1, 3)).ravel() for mask in scene.masks])
    for slot in range(SLOTS):
        best = int(cover[:, slot].argmax())
        if cover[best, slot] >= COVERED:
            thing = scene.things[best]
            said = (thing.colour, thing.shape, thing.size, thing.position)
            found[slot] = [1 + SYMBOLS.index(word) for word in said]
    return found


def words_of_symbols(words: Subwords) -> Int[Tensor, "symbols"]:
    """The first subword of every symbol, -1 for that of nothing: what a connector that speaks in words should say."""
    return torch.tensor([-1, *(words.ids(symbol)[0] for symbol in SYMBOLS)])

"""Conversations about pictures: turns of question and answer, from scenes; from files, see
`limner.data.conversation_file`.

Item k of a source is the same conversation forever.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from limner.data.scenes import Scene, Scenes
from limner.data.scenes.scene import random_for

DESCRIBE = "Describe the picture."
DIALOGUE = "dialogue"
FREE = ("caption", DIALOGUE)  # kinds of turns to which there is no one right answer


class Turn(NamedTuple):
    """A question and its right answer, empty where the model is to answer. ``kind`` sorts questions for scores."""

    question: str
    answer: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Conversation:
    """Turns about a picture, or about none. ``apart``: turns are independent of each other; else they are one text."""

    image: UInt8[np.ndarray, "h w 3"] | None
    turns: tuple[Turn, ...]
    apart: bool = True


@runtime_checkable
class Conversations(Protocol):
    """A map-style source of conversations."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Conversation: ...


@runtime_checkable
class Written(Protocol):
    """A source whose every turn is known without reading a picture."""

    def every_turn(self) -> Iterable[Turn]: ...


class SceneConversations:
    """Questions about scenes, each with one exact answer, and the request to describe them.

    Args:
        scenes: that the questions are about.
        turns: most questions about a scene, drawn from all there are; their kinds are equally likely, so that frequent
            kinds of question do not drown rare ones.
        describe: the last turn requests the caption.
        often: how many times likelier a kind of question is than those not named.
    """

    def __init__(
        self, scenes: Scenes, *, turns: int = 6, describe: bool = True, often: Mapping[str, float] | None = None
    ) -> None:
        self.scenes, self.turns, self.describe, self.often = scenes, turns, describe, often or {}

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, index: int) -> Conversation:
        scene = self.scenes[index]
        chosen = self._chosen(scene, index)
        if self.describe:
            chosen.append(Turn(DESCRIBE, scene.caption, "caption"))
        return Conversation(scene.image, tuple(chosen))

    def _chosen(self, scene: Scene, index: int) -> list[Turn]:
        kinds: dict[str, list[Turn]] = {}
        for one in scene.questions():
            kinds.setdefault(one.kind, []).append(Turn(one.text, one.answer, one.kind))
        rng = random_for(self.scenes.seed, "turns", index)
        chosen: list[Turn] = []
        while kinds and len(chosen) < self.turns:
            weights = list(accumulate(self.often.get(kind, 1.0) for kind in kinds))
            kind = list(kinds)[bisect(weights, rng.random() * weights[-1])]
            chosen.append(kinds[kind].pop())
            if not kinds[kind]:
                del kinds[kind]
        return chosen

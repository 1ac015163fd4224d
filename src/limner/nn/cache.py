"""What a stack of blocks keeps from one pass for the next, layer by layer, and how it is taken back.

    extend(l, k, v)  ->  [k_0 .. k_n-1 | k], [v_0 .. v_n-1 | v]         attention: keys and values, n = length(l)
    state(l), advance(l, count, h)                                      recurrence: h after the positions so far
    ahead(.., make)                                                     what the condition alone makes of positions
    keep(n)          positions n and later were never there: rejected drafts
    keep(index)      only these positions of every row remain: pruned tokens
    select(rows)     only these rows of the batch remain: beams, candidates

Every pass appends to each layer that it runs; a layer that is skipped keeps the length that it had.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor
from torch.nn import functional

from limner.errors import InputError

Heads = Float[Tensor, "b heads n head_dim"]
AllHeads = Float[Tensor, "b heads total head_dim"]
SNAPSHOTS = 16  # passes of which a recurrent state is remembered


@runtime_checkable
class Rewindable(Protocol):
    """What whoever decodes asks of a cache: ``keep(lead + n)`` leaves what depends on the condition and on the first
    ``n`` tokens in the order of decoding, ``n`` being the tokens of whole steps. A pass computes what it lacks."""

    lead: int
    """Positions of the condition, which come before those of tokens."""

    def length(self, layer: int) -> int:
        """Positions that a layer holds."""

    def keep(self, positions: int | Int[Tensor, "b kept"]) -> None:
        """Forget all positions but the first so many, or but these of each row, in every layer."""


@runtime_checkable
class Cache(Rewindable, Protocol):
    """What attention and recurrent layers ask of a cache."""

    def extend(self, layer: int, key: Heads, value: Heads) -> tuple[AllHeads, AllHeads]:
        """Append the keys and values of one layer and return all of them; later calls may bring the first rows only."""

    def read(self, layer: int) -> tuple[AllHeads, AllHeads] | None:
        """All keys and values of a layer; None if it holds none."""

    def state(self, layer: int) -> Any:
        """The state of a recurrent layer after all its positions; None before the first."""

    def advance(self, layer: int, count: int, state: Any) -> None:
        """Remember the state of a recurrent layer after ``count`` more positions."""


class KeyValueCache:
    """Keys and values of ``depth`` layers, at first with room for ``room`` positions, of which the condition's come
    first, ``lead`` in number.

    One tensor holds them all: when a drawing ends, a large one goes back to the system at once, whereas of many small
    ones the C library keeps the memory, on top of what then paints the picture.
    """

    def __init__(self, room: int, depth: int, lead: int = 0) -> None:
        self.room, self.depth, self.lead = room, depth, lead
        self._lengths: defaultdict[int, int] = defaultdict(int)
        self._kept: Float[Tensor, "depth two b heads room head_dim"] | None = None
        self._states: dict[int, deque[tuple[int, Any]]] = {}
        self._ahead: tuple[int, list[Tensor]] = (0, [])

    def length(self, layer: int) -> int:
        """Positions that a layer holds."""
        return self._lengths[layer]

    def extend(self, layer: int, key: Heads, value: Heads) -> tuple[AllHeads, AllHeads]:
        """Append the keys and values of one layer and return all of them; later calls may bring the first rows only."""
        if self._kept is None:
            batch, heads, _, width = key.shape
            self._kept = key.new_empty(self.depth, 2, batch, heads, self.room, width)
        start = self._lengths[layer]
        end = self._lengths[layer] = start + key.shape[2]
        if end > self.room:  # several steps of which each is read clean and noised
            self._kept = functional.pad(self._kept, (0, 0, 0, end - self.room))
            self.room = end
        keys, values = self._kept[layer, :, : len(key)]
        keys[:, :, start:end], values[:, :, start:end] = key, value
        return keys[:, :, :end], values[:, :, :end]

    def read(self, layer: int) -> tuple[AllHeads, AllHeads] | None:
        """All keys and values of a layer; None if it holds none."""
        if self._kept is None or not self._lengths[layer]:
            return None
        keys, values = self._kept[layer, ..., : self._lengths[layer], :]
        return keys, values

    def state(self, layer: int) -> Any:
        """The state of a recurrent layer after all its positions; None before the first."""
        return self._states[layer][-1][1] if self._states.get(layer) else None

    def advance(self, layer: int, count: int, state: Any) -> None:
        """Remember the state of a recurrent layer after ``count`` more positions."""
        self._lengths[layer] += count
        self._states.setdefault(layer, deque(maxlen=SNAPSHOTS)).append((self._lengths[layer], state))

    def ahead(
        self, rows: int, start: int, end: int, make: Callable[[], list[Shaped[Tensor, "b made *d"]]]
    ) -> list[Shaped[Tensor, "rows positions *d"]]:
        """Modulations of each layer, which no token changes, for positions from ``start`` to ``end``: those that
        ``make`` made before, if it made that many, or else makes now, from ``start`` as far as it likes."""
        first, made = self._ahead
        if not made or start < first or end > first + made[0].shape[1]:
            first, made = self._ahead = start, make()
        return [part[:rows, start - first : end - first] for part in made]

    def keep(self, positions: int | Int[Tensor, "b kept"]) -> None:
        """Forget all positions but the first so many, or but these of each row, in every layer.

        A recurrent layer keeps a state of each of its last passes; where none ended at that length, all layers go back
        to the last one before, and the next pass computes the rest. Raises `InputError` for single positions of it.
        """
        if isinstance(positions, int):
            positions = min([positions, *(self._last(states, positions) for states in self._states.values())])
            for layer, length in list(self._lengths.items()):
                self._rewind(layer, min(length, positions))
            return
        if self._states:
            raise InputError("a recurrent state cannot forget single positions: keep a number of them")
        for layer, length in list(self._lengths.items()):
            if length:
                self._gather(layer, positions)

    def select(self, rows: Int[Tensor, "rows"]) -> None:
        """Keep these rows of the batch, in this order; a row may come twice."""
        self._ahead = self._ahead[0], [part[rows] for part in self._ahead[1]]
        if self._states:
            self._states = {
                layer: deque(((length, state[rows]) for length, state in states), SNAPSHOTS)
                for layer, states in self._states.items()
            }
        if self._kept is not None:
            self._kept = self._kept[:, :, rows]

    @staticmethod
    def _last(states: deque[tuple[int, Any]], positions: int) -> int:
        """After how many positions, at most so many, there is a state; 0 if there is none."""
        return max((length for length, _ in states if length <= positions), default=0)

    def _rewind(self, layer: int, length: int) -> None:
        self._lengths[layer] = length
        states = self._states.get(layer, deque())
        while states and states[-1][0] > length:
            states.pop()

    def _gather(self, layer: int, positions: Int[Tensor, "b kept"]) -> None:
        assert self._kept is not None, "a layer that holds positions has written them"
        count = positions.shape[1]
        kept = self._kept[layer, :, : len(positions)]
        index = positions[None, :, None, :, None].expand(2, -1, kept.shape[2], -1, kept.shape[4])
        kept[:, :, :, :count] = kept.gather(3, index)
        self._lengths[layer] = count


def resume(cache: Cache | None, needed: int) -> int:
    """How many positions a pass need not compute: those that the cache holds before position ``needed``; from there on
    it forgets what it holds."""
    if cache is None:
        return 0
    if cache.length(0) > needed:
        cache.keep(needed)
    return cache.length(0)


class GrowingCache(KeyValueCache):
    """Keys and values that no call overwrites, so that gradients pass."""

    def __init__(self) -> None:
        super().__init__(0, 0)
        self._parts: defaultdict[int, list[tuple[Tensor, Tensor]]] = defaultdict(list)

    def extend(self, layer: int, key: Heads, value: Heads) -> tuple[AllHeads, AllHeads]:
        """As in a `KeyValueCache`."""
        self._parts[layer].append((key, value))
        self._lengths[layer] += key.shape[2]
        return self._joined(layer, len(key))

    def read(self, layer: int) -> tuple[AllHeads, AllHeads] | None:
        """All keys and values of a layer; None if it holds none."""
        parts = self._parts[layer]
        return self._joined(layer, min(len(key) for key, _ in parts)) if parts else None

    def select(self, rows: Int[Tensor, "rows"]) -> None:
        """Keep these rows of the batch, in this order."""
        for layer, parts in self._parts.items():
            self._parts[layer] = [(key[rows], value[rows]) for key, value in parts]

    def _rewind(self, layer: int, length: int) -> None:
        parts, self._parts[layer] = self._parts[layer], []
        self._lengths[layer] = 0
        for key, value in parts:
            room = length - self._lengths[layer]
            if room > 0:
                self._parts[layer].append((key[:, :, :room], value[:, :, :room]))
                self._lengths[layer] += min(room, key.shape[2])

    def _gather(self, layer: int, positions: Int[Tensor, "b kept"]) -> None:
        key, value = self._joined(layer, len(positions))
        index = positions[:, None, :, None].expand(-1, key.shape[1], -1, key.shape[3])
        self._parts[layer] = [(key.gather(2, index), value.gather(2, index))]
        self._lengths[layer] = positions.shape[1]

    def _joined(self, layer: int, rows: int) -> tuple[AllHeads, AllHeads]:
        parts = self._parts[layer]
        if len(parts) == 1:
            key, value = parts[0]
            return key[:rows], value[:rows]
        keys, values = (torch.cat([part[:rows] for part in both], dim=2) for both in zip(*parts, strict=True))
        return keys, values

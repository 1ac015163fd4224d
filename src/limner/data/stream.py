"""An endless stream of training items out of data sets, addressed by number so that a resumed run misses none.

Item ``k`` is a pure function of (seed, k): which data set it comes from, which example, how it is varied.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from limner.data.images import Size, extent, fit
from limner.data.source import Example, Source

Variation = Callable[[Example, np.random.Generator], Example]


class Subset:
    """Some examples of a data set.

    Args:
        source: the data set.
        indices: which of its examples, in this order.
    """

    def __init__(self, source: Source, indices: Sequence[int]) -> None:
        self.source, self.indices = source, list(indices)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Example:
        return self.source[self.indices[index]]


class CachedSource:
    """A data set whose pictures stay in memory once they were read: 12 kB each at 64 pixels, where a photograph takes a
    tenth of a second to read.

    Args:
        source: the data set.
        count: examples that are kept; further ones are read every time.
    """

    def __init__(self, source: Source, count: int = 100_000) -> None:
        self.source, self.count = source, count
        self._read: dict[int, Example] = {}

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Example:
        if index in self._read:
            return self._read[index]
        example = self.source[index]
        if len(self._read) < self.count:
            self._read[index] = example
        return example


class Padded:
    """A data set whose pictures are brought to one size, see `limner.data.images.fit`, with white beside them.

    Args:
        source: the data set.
        size: pixels of a side, or height and width.
    """

    def __init__(self, source: Source, size: Size) -> None:
        self.source, self.size = source, size

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Example:
        return self.pad(self.source[index])

    def pad(self, example: Example) -> Example:
        """The example in this size; unchanged if it has it."""
        if example.image.shape[:2] == extent(self.size):
            return example
        return Example(fit(example.image, self.size, "pad"), example.caption, example.label)


class Stream:
    """Draws from several data sets by share; within one it passes through random permutations, epoch by epoch.

    Args:
        sources: the data sets.
        shares: relative frequency of each; equal if not given.
        vary: augmentation per data set, or None.
        seed: of everything drawn.
        notices: sentences on examples that are left out, as far as they are known by now.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        shares: Sequence[float] | None = None,
        *,
        vary: Sequence[Variation | None] | None = None,
        seed: int = 0,
        notices: list[str] | None = None,
    ) -> None:
        self.notices = [] if notices is None else notices
        weights = np.asarray(shares if shares is not None else [1.0] * len(sources), dtype=np.float64)
        self.sources, self.seed = list(sources), seed
        self.edges = np.cumsum(weights / weights.sum())
        self.vary = list(vary) if vary is not None else [None] * len(self.sources)
        self._epochs: dict[tuple[int, int], np.ndarray] = {}

    def __getitem__(self, k: int) -> Example:
        """Item ``k`` of the stream, ``k >= 0``."""
        rng = np.random.default_rng((self.seed, k))
        choice = min(int(np.searchsorted(self.edges, rng.random(), side="right")), len(self.sources) - 1)
        share = self.edges[choice] - (self.edges[choice - 1] if choice else 0.0)
        example = self.sources[choice][self._position(choice, int(k * share))]
        vary = self.vary[choice]
        return vary(example, rng) if vary is not None else example

    def _position(self, choice: int, drawn: int) -> int:
        """Index of the ``drawn``-th example taken from a data set (in expectation), through shuffled epochs."""
        length = len(self.sources[choice])
        epoch, place = divmod(drawn, length)
        if length > 1 << 20:  # a procedural world: its examples are already independent
            return place
        key = (choice, epoch)
        if key not in self._epochs:
            for old in [old for old in self._epochs if old[0] == choice and old[1] < epoch - 1]:
                del self._epochs[old]
            self._epochs[key] = np.random.default_rng((self.seed, choice, epoch)).permutation(length)
        return int(self._epochs[key][place])

    def take(self, start: int, count: int) -> list[Example]:
        """Items ``start .. start + count``."""
        return [self[k] for k in range(start, start + count)]


def shifted(example: Example, rng: np.random.Generator, *, reach: int = 4) -> Example:
    """The picture moved by up to ``reach`` pixels each way, its edge repeated."""
    dx, dy = rng.integers(-reach, reach + 1, 2)
    height, width = example.image.shape[:2]
    padded = np.pad(example.image, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    image = padded[reach + dy : reach + dy + height, reach + dx : reach + dx + width]
    return Example(np.ascontiguousarray(image), example.caption, example.label)


def mirrored(example: Example, rng: np.random.Generator) -> Example:
    """The picture, mirrored left to right half the time."""
    image = example.image[:, ::-1].copy() if rng.random() < 0.5 else example.image
    return Example(image, example.caption, example.label)


def recoloured(example: Example, rng: np.random.Generator) -> Example:
    """The picture with its colour channels permuted half the time, which triples what a tokenizer can learn from a
    small set; never for captioned training, where colours have names."""
    image = example.image[..., rng.permutation(3)] if rng.random() < 0.5 else example.image
    return Example(np.ascontiguousarray(image), example.caption, example.label)


def chain(*variations: Variation) -> Variation:
    """Several variations, one after the other."""

    def vary(example: Example, rng: np.random.Generator) -> Example:
        for variation in variations:
            example = variation(example, rng)
        return example

    return vary

"""What a model that sees reads in each patch of a picture, word by word.

    mixture        the coefficients of a connector that builds its vectors from words
    logit lens     any other: the words nearest to a patch's vector, and the cosines between them

Only the first is what the language model is given; the second is a guess at it, to compare with.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, SupportsIndex, TypeAlias

from jaxtyping import Float
from torch import Tensor

from limner.connectors.connector import Connector, WordMixture
from limner.connectors.lens import nearest_words
from limner.errors import InputError
from limner.types import Patches, whole
from limner.unified.conversation import TextVocabulary

Reading: TypeAlias = Literal["mixture", "logit lens"]


class Weighed(NamedTuple):
    """A word as people spell it, and its coefficient, or where that is not known its cosine."""

    word: str
    weight: float


@dataclass(frozen=True)
class PatchWords:
    """The heaviest words of every patch: ``patches[row][column]``, heaviest first, and how they were read."""

    patches: tuple[tuple[tuple[Weighed, ...], ...], ...]
    reading: Reading

    def __repr__(self) -> str:
        """What stands out, short: what a prompt of Python shows. Everything is in ``patches``."""
        rows, columns = self.grid
        heavy = ", ".join(f"{word} {self.number(weight)}" for word, weight in self.heaviest(3))
        return f"<PatchWords {rows}x{columns}, {self.reading}: {heavy}>"

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.patches), len(self.patches[0])

    def heaviest(self, count: int = 5) -> list[Weighed]:
        """The words that weigh most in the whole picture: means over patches, of the words that are listed."""
        total: dict[str, float] = defaultdict(float)
        for row in self.patches:
            for patch in row:
                for word, weight in patch:
                    total[word] += weight
        rows, columns = self.grid
        order = sorted(total, key=lambda word: total[word], reverse=True)
        return [Weighed(word, total[word] / (rows * columns)) for word in order[:count]]

    def number(self, weight: float) -> str:
        """Shares of a mixture in per cent, cosines as they are."""
        return f"{100 * weight:.0f} %" if self.reading == "mixture" else f"{weight:.2f}"

    def to_json(self, count: int) -> dict[str, Any]:
        """``{"reading", "grid", "patches"}``, every patch a list of at most ``count`` [word, weight]."""
        patches = [
            [[[word, round(weight, 4)] for word, weight in patch[:count]] for patch in row] for row in self.patches
        ]
        return {"reading": self.reading, "grid": list(self.grid), "patches": patches}


def patch_words(
    connector: Connector,
    patches: Patches,
    table: Float[Tensor, "v d"],
    vocabulary: TextVocabulary,
    count: SupportsIndex,
    grid: tuple[int, int],
) -> PatchWords:
    """The ``count`` heaviest words of every patch of one image, or all if there are fewer.

    Args:
        connector: makes a vector of every patch.
        patches: of one image; those of ``grid`` that are missing have the empty word with weight 0.
        table, vocabulary: of the language model.
        count: words of a patch.
        grid: rows and columns of the whole image.

    Raises `InputError` if the connector makes no vector per patch, or for a count below 1.
    """
    count = min(whole(count, "the number of words of a patch", 1), len(table))
    if isinstance(connector, WordMixture):
        reading: Reading = "mixture"
        ids, weights = connector.top_words(patches, table, count)
    else:
        reading = "logit lens"
        vectors = connector(patches, table)
        if vectors.shape[1] != patches.vectors.shape[1]:
            raise InputError(
                f"this connector makes {vectors.shape[1]} vectors of {patches.vectors.shape[1]} patches, so that none "
                "has words of its own: read those of a language basis or an MLP"
            )
        ids, weights = nearest_words(vectors, table, count)
    read = [[(Weighed("", 0.0),)] * grid[1] for _ in range(grid[0])]
    places, rows = patches.positions[0].tolist(), zip(ids[0].tolist(), weights[0].tolist(), strict=True)
    for (row, column), words in zip(places, rows, strict=True):
        read[row][column] = tuple(Weighed(vocabulary.word(i), weight) for i, weight in zip(*words, strict=True))
    return PatchWords(tuple(map(tuple, read)), reading)

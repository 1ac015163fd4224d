"""Token pruning: of an encoder's patches the heaviest are kept, in the order in which they lay.

    kept = sort(top-k of weight),      vectors, positions <- vectors[kept], positions[kept]

How the weight is made is the business of who made the patches, such as `limner.encoders.class_attention`.
"""

from __future__ import annotations

from dataclasses import dataclass

from limner.connectors.connector import Query
from limner.errors import InputError
from limner.types import Patches


@dataclass(frozen=True)
class Heaviest:
    """A `limner.connectors.connector.Reduce`: keeps the ``count`` patches of largest weight, or all if there are fewer.

    Raises `InputError` for a count below 1 and for patches without weight.
    """

    count: int

    def __post_init__(self) -> None:
        if self.count < 1:
            raise InputError(f"{self.count} patches cannot be kept: keep at least 1")

    def __call__(self, patches: Patches, query: Query | None) -> Patches:
        if patches.weight is None:
            raise InputError("these patches have no weight to be pruned by: choose an encoder that gives them one")
        kept = patches.weight.topk(min(self.count, patches.weight.shape[1])).indices
        return patches.select(kept.sort().values)

"""Which words are nearest to a vector, seen from the mean of words: a reading of connectors that know no words.

    cos(v - mu, e_j - mu)

The logit lens (nostalgebraist 2020, "interpreting GPT: the logit lens") on the input side: the honest baseline for
connectors that say which words they mix (`limner.connectors.connector.WordMixture`). Centred, for all words share a
mean.
"""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from limner.connectors.connector import Words


def nearest_words(
    vectors: Float[Tensor, "b n d"], words: Words, count: int
) -> tuple[Int[Tensor, "b n count"], Float[Tensor, "b n count"]]:
    """Ids and cosines of the ``count`` words at the least angle to every vector, nearest first."""
    mean = words.mean(0)
    vectors, table = functional.normalize(vectors - mean, dim=-1), functional.normalize(words - mean, dim=-1)
    cosines = (vectors @ table.mT).topk(count)
    return cosines.indices, cosines.values

"""FQGAN's head with and without the sub-codes that are known: the same parameters, images and steps."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from limner.experiments.claims import better
from limner.experiments.tokenizers.fqgan import TWO
from limner.experiments.world import Arm
from limner.generators.heads.factorized import FactorizedHead
from limner.recipe import Recipe
from limner.recipes.generators import fqgan_ar


class BlindHead(FactorizedHead):
    """Reads the context alone: every digit is drawn by itself."""

    def known(self, digits: Int[Tensor, "b m g"]) -> list[Float[Tensor, "b m d"]]:
        return [torch.zeros_like(state) for state in super().known(digits)]


def blind(recipe: Recipe) -> Recipe:
    """The recipe with a head that does not read what it has drawn."""
    return replace(recipe, build=partial(fqgan_ar.build, head=BlindHead))


ONE_BY_ONE = Arm("fqgan-ar", "generators/fqgan_ar", {"depth": 3, "tokenizer": TWO})
BLIND = Arm("fqgan-ar-blind", "generators/fqgan_ar", ONE_BY_ONE.knobs, blind)

CLAIMS = (better(ONE_BY_ONE, BLIND),)

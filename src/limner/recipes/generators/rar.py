"""RAR: learn to draw in every order, end in raster order.

Yu et al., arXiv:2411.00776. A causal transformer is trained on random permutations of the tokens, whose share falls to
none between half and three quarters of the training, so that each token has learned to read all others before left to
right is all it needs then. Every position has an embedding of the one that it predicts. Deviations of the small size:
the words of a caption as a prefix, their mean in place of the class; one table for embedding and output; no dropout;
Muon.

    limner train rar --out runs/rar
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from jaxtyping import Float
from torch import Tensor

from limner.decode.decoder import Decoder
from limner.decode.schedules import power_cosine
from limner.generators.backbones.rar import AdaptiveCausalTransformer
from limner.generators.generator import Generator
from limner.generators.heads.categorical import CategoricalHead
from limner.generators.orders import Permuted, annealed_share
from limner.models.text_to_image import TextToImage
from limner.recipe import Claim, Recipe
from limner.recipes.generators import family


@dataclass(frozen=True, kw_only=True)
class Knobs(family.Codes):
    """A causal transformer over ids in any order."""

    anneal_from: float = 0.5
    """Part of the training after which the share of permuted pictures falls from 1; 0 with --anneal-to 0 is raster."""
    anneal_to: float = 0.75
    """Part of the training after which none is permuted."""
    power: float = 2.75
    """Delay of the guidance while a picture is drawn; 0 is constant."""


def build(knobs: Knobs) -> TextToImage:
    """A freshly initialised RAR over its tokenizer."""
    tokenizer, entries, (rows, columns) = family.grid_of_codes(knobs.tokenizer)
    count, text = rows * columns, knobs.text_length
    generator = Generator(
        layout=tokenizer.layout,
        order=Permuted(),
        backbone=AdaptiveCausalTransformer(
            count=count, prefix=text, width=knobs.width, depth=knobs.depth, heads=knobs.heads
        ),
        head=CategoricalHead(entries, knobs.width),
        condition=family.text_condition(knobs),
    )
    schedule = power_cosine(knobs.power)
    return family.text_to_image(knobs, generator, tokenizer, partial(Decoder, guidance=schedule))


def annealing(knobs: Knobs) -> Callable[[Float[Tensor, "b"]], Permuted]:
    """The order of a batch, each image of which comes after a part of the training in [0, 1]."""

    start, end = knobs.anneal_from, knobs.anneal_to

    def order(progress: Float[Tensor, "b"]) -> Permuted:
        shares = [annealed_share(one, start, end) for one in progress.tolist()]
        return Permuted(progress.new_tensor(shares))

    return order


def lesson(knobs: Knobs, model: TextToImage) -> family.Lesson:
    """As the family's, with an order that becomes raster."""
    return family.lesson(knobs, model, annealing(knobs))


RECIPE = Recipe(
    state="works",
    paper="arXiv:2411.00776",
    knobs=Knobs,
    build=build,
    lesson=lesson,
    score=family.score,
    tiny={**family.TINY, "depth": 1},
    claims=(
        Claim(
            text="permuted, then annealed to raster, the same transformer draws better than after raster alone",
            source="arXiv:2411.00776, Section 4.2 and Table 2, randomness annealing",
        ),
    ),
)

"""FQGAN's generator: a causal transformer from token to token, and a small one from sub-code to sub-code.

Bai et al., arXiv:2411.16681, Section 3.3 (there "factorized AR head"). The tables of the sub-codes are joined to what
the trunk reads of a token; what it makes of it, and the sub-codes that are known, are read by the head, which so draws
an id of V^2 values by two softmaxes of V. Any tokenizer whose ids have digits serves: fqgan, pq-vae, rq-vae. Deviations
of the small size: a caption's words in place of a class, which each position can look for; no dropout; Muon.

    limner train fqgan-ar --tokenizer runs/fqgan --out runs/fqgan-ar
"""

from __future__ import annotations

from dataclasses import dataclass

from limner.errors import InputError
from limner.generators.generator import Generator
from limner.generators.heads.factorized import FactorizedHead
from limner.generators.orders import Raster
from limner.models.text_to_image import TextToImage
from limner.nn.norms import gated_hidden
from limner.recipe import Claim, Recipe
from limner.recipes.generators import family, llamagen
from limner.tokenizers.quantizers.digits import Composed


@dataclass(frozen=True, kw_only=True)
class Knobs(family.Codes):
    """A causal transformer over ids of several digits."""

    tokenizer: str = "fqgan-64"
    head_depth: int = 1
    """Blocks of the head."""


def build(knobs: Knobs, head: type[FactorizedHead] = FactorizedHead) -> TextToImage:
    """A freshly initialised model over its tokenizer; raises `InputError` if its ids have no digits."""
    tokenizer, _, grid = family.grid_of_codes(knobs.tokenizer)
    if not isinstance(tokenizer.quantizer, Composed):
        raise InputError(f"an id of {knobs.tokenizer} is one code: choose a tokenizer of several, such as fqgan-64")
    width, heads, hidden = knobs.width, knobs.heads, gated_hidden(knobs.width)
    generator = Generator(
        layout=tokenizer.layout,
        order=Raster(),
        backbone=llamagen.backbone(knobs, grid, normed=False),
        head=head(
            tokenizer.quantizer.radices, width, depth=knobs.head_depth, heads=heads, hidden=hidden, columns=grid[1]
        ),
        condition=family.text_condition(knobs),
    )
    return family.text_to_image(knobs, generator, tokenizer)


RECIPE = Recipe(
    state="partly",
    paper="arXiv:2411.16681",
    knobs=Knobs,
    build=build,
    lesson=family.lesson,
    score=family.score,
    tiny={**family.TINY, "depth": 1},
    claims=(
        Claim(
            text="sub-codes that are drawn one after the other draw better than drawn each by itself",
            source="arXiv:2411.16681, Section 3.3: the head predicts each sub-token from those before it",
        ),
    ),
)

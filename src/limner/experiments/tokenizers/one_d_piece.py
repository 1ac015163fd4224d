"""One-D-Piece against TiTok: the first quarter of their tokens, and all; the same model, pictures and steps, with and
without tail token drop."""

from __future__ import annotations

from dataclasses import replace

from limner.experiments.claims import better, every, no_worse
from limner.experiments.tokenizers.titok import SIZES
from limner.experiments.world import Arm
from limner.recipe import Recipe
from limner.recipes.tokenizers import titok
from limner.tokenizers.oned import OneDTokenizer


def untaught(recipe: Recipe) -> Recipe:
    """TiTok that decodes its first tokens though it never learned to."""

    def build(knobs: titok.Knobs) -> OneDTokenizer:
        model = titok.build(knobs)
        model.layout = model.layout._replace(nested=True)
        return model

    return replace(recipe, build=build)


LINE = {**SIZES, "count": 16, "entries": 1024}
NESTED = Arm("one-d-piece", "tokenizers/one_d_piece", LINE)
WHOLE = Arm("titok-16", "tokenizers/titok", LINE, untaught)

CLAIMS = (every(better(NESTED, WHOLE, "psnr/4", by=5.0), no_worse(NESTED, WHOLE, 1.0, "psnr")),)

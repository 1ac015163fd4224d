"""One-D-Piece: TiTok's line of tokens, of which any first few decode to a picture.

Miwa et al., arXiv:2501.10064, Section 3.2. After each batch's tokens are quantized, those behind a random one are
dropped (tail token drop), so the decoder learns from lines of every length and the first tokens learn to say most.
There is no other weight or loss. Deviations of the small size: those of TiTok; two stages as there, by ``--proxy``.

    limner train one-d-piece --out runs/one-d-piece
    limner tokens photo.jpg --model runs/one-d-piece     # the picture from 1, 2, 4 ... tokens
"""

from __future__ import annotations

from limner.recipe import Claim, Recipe
from limner.recipes.tokenizers import family, titok
from limner.tokenizers.oned import OneDTokenizer, nested


def build(knobs: titok.Knobs) -> OneDTokenizer:
    """A freshly initialised One-D-Piece; errors as those of TiTok."""
    return nested(titok.build(knobs))


RECIPE = Recipe(
    system="one-d-piece",
    state="partly",
    paper="arXiv:2501.10064",
    knobs=titok.Knobs,
    build=build,
    lesson=titok.lesson,
    score=family.score,
    tiny=titok.RECIPE.tiny,
    claims=(
        Claim(
            text="a quarter of its tokens rebuild at least 5 dB better than a quarter of TiTok's, all of them no worse "
            "than TiTok's by 1 dB",
            source="arXiv:2501.10064, Section 4: quality by the number of tokens, against TiTok's",
        ),
    ),
)

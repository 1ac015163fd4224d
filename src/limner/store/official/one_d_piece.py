"""One-D-Piece as its authors released it: TiTok's two stages with 256 tokens, of which any first few are a picture.

Miwa et al., arXiv:2501.10064, code at github.com/turingmotors/One-D-Piece. Every tensor is called as TiTok's, of which
no two-stage model has 256 tokens::

    tokenizer = official_tokenizer(ONE_D_PIECE_L).eval()
    fill(tokenizer, state, NAMES)
    image = tokenizer.decode(tokens[:, :32])
"""

from __future__ import annotations

from limner.store.official import titok
from limner.store.release import Release
from limner.tokenizers.oned import OneDTokenizer, nested

COUNT = 256
ONE_D_PIECE_S, ONE_D_PIECE_B, ONE_D_PIECE_L = (
    titok.two_stage(vit, COUNT) for vit in (titok.SMALL, titok.BASE, titok.LARGE)
)


def official_tokenizer(sizes: titok.TiTokSizes) -> OneDTokenizer:
    """A One-D-Piece of these sizes, freshly initialised."""
    return nested(titok.official_tokenizer(sizes))


NAMES = ((r"^quantizer\.quantizer\.", "quantizer."), *titok.NAMES)
RELEASES = (
    Release(
        system="one-d-piece",
        kind="tokenizer",
        signature=(f"latent_tokens[{COUNT}]", *titok.RELEASES[0].signature[1:], "quantize.embedding.weight"),
        build=lambda state: official_tokenizer(titok.sizes_of(state)),
        names=NAMES,
    ),
)

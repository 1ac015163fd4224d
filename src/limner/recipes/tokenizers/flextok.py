"""FlexTok: a picture as up to 32 ordered tokens, of which any first few decode to a picture.

Bachmann et al., arXiv:2502.13967. Registers read another tokenizer's latents, each also the registers before it; a flow
draws latents from noise under the first k of them, k at random in training. Deviations of the small size: patches of
one latent, no alignment with DINOv2, Muon.

    limner train flextok --out runs/flextok
    limner tokens photo.jpg --model runs/flextok         # the picture from 1, 2, 4 ... tokens
"""

from __future__ import annotations

from dataclasses import dataclass

from limner.errors import InputError
from limner.nn.norms import gated_hidden
from limner.recipe import Claim, Recipe
from limner.recipes.tokenizers import family
from limner.store.folder import load
from limner.tokenizers.flextok import FlexTok, FlowObjective
from limner.tokenizers.flow_decoder import FlowDecoder
from limner.tokenizers.quantizers.scalar import FiniteScalarQuantizer
from limner.tokenizers.registers import PatchGrid, RegisterEncoder, TransformerSizes
from limner.tokenizers.tokenizer import GridCodec


@dataclass(frozen=True, kw_only=True)
class Knobs(family.Knobs):
    """Two transformers over the latents of a frozen tokenizer."""

    tokenizer: str = "vae-64"
    """Name or folder of the tokenizer whose latents are read and drawn."""
    count: int = 32
    """Tokens of a picture at most."""
    levels: tuple[int, ...] = (8, 8, 8, 5, 5, 5)
    """Values of each channel of a token: 64,000 ids."""
    patch: int = 1
    """Latents on a side of a patch."""
    width: int = 192
    """Width of both transformers, a multiple of 64."""
    encoder_depth: int = 3
    """Blocks of the encoder."""
    decoder_depth: int = 5
    """Blocks of the decoder."""
    guidance: float = 2.0
    """Guidance of the flow; 1 is none."""
    lr: float = 1e-3
    muon: float = 3e-3


def build(knobs: Knobs) -> FlexTok:
    """A freshly initialised FlexTok over its tokenizer; raises `InputError` if that has no grid of latents."""
    base = load(knobs.tokenizer)
    if not isinstance(base, GridCodec) or base.quantizer.discrete:
        raise InputError(f"{knobs.tokenizer} has no grid of latents: choose a tokenizer such as vae-64")
    base = base.at(knobs.size)
    (grid,), quantizer = base.layout.grids, FiniteScalarQuantizer(knobs.levels)
    latents, width = PatchGrid((grid[0], grid[1]), base.quantizer.channels, knobs.patch), knobs.width
    depths = knobs.encoder_depth, knobs.decoder_depth
    first, second = (TransformerSizes(width, depth, max(width // 64, 1), gated_hidden(width, 8)) for depth in depths)
    encoder = RegisterEncoder(latents, first, count=knobs.count, features=quantizer.features)
    decoder = FlowDecoder(latents, second, count=knobs.count, codes=quantizer.channels)
    return FlexTok(base, encoder, quantizer, decoder, guidance=knobs.guidance)


RECIPE = Recipe(
    system="flextok",
    state="partly",
    paper="arXiv:2502.13967",
    knobs=Knobs,
    build=build,
    lesson=lambda knobs, model: family.lesson_by(FlowObjective(), knobs, model),
    score=family.score,
    tiny={"size": 32, "width": 64, "encoder_depth": 1, "decoder_depth": 1, "count": 6, "levels": (4, 3, 3)},
    claims=(
        Claim(
            text="the reconstruction comes nearer with every four times as many of the first tokens, from 1 to 16",
            source="arXiv:2502.13967, abstract and Section 4: variable-length, ordered tokens",
        ),
        Claim(
            text="the first token alone decodes to a better image, whose shape is read right more often, than of the "
            "same model trained without nested dropout",
            source="arXiv:2502.13967, Section 3.1",
        ),
    ),
)

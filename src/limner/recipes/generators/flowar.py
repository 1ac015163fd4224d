"""FlowAR: scale by scale over the latents of a plain VAE, all latents of a scale by flow matching.

Ren et al., arXiv:2412.15205. A scale is a smaller copy of the latents, each twice as large as the one before, so any
VAE will do. A transformer reads the coarser scales and says what the next one means, place by place; a small network
denoises all its latents together, steered at each place by the meaning there. Written from the paper's idea, while its
authors' repository held no code: how scales are enlarged (bicubic) and noise levels drawn (logit-normal, as xAR's) is
ours.
Deviations of the small size: the words of a caption as a prefix that all scales read, their mean where the class
steered; Muon.

    limner train flowar --out runs/flowar
    limner train flowar --no-spatial --out runs/pooled             # one meaning for a whole scale
    limner draw "a red heart" --model runs/flowar --show-steps     # coarse to fine
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from limner.decode.decoder import Decoder
from limner.decode.schedules import with_steps
from limner.generators.backbones.flow_scales import FlowScales
from limner.generators.backbones.scales import ScaleTransformer
from limner.generators.embeddings import ScaleEmbedding
from limner.generators.generator import Generator
from limner.generators.heads.trunk import Flow, TrunkHead
from limner.generators.orders import Scales
from limner.models.text_to_image import TextToImage
from limner.recipe import Claim, Recipe
from limner.recipes.generators import family
from limner.tokenizers.pyramid import Pyramid, PyramidTokenizer


@dataclass(frozen=True, kw_only=True)
class Knobs(family.Knobs):
    """A transformer over scales of latents, and blocks that denoise a scale."""

    tokenizer: str = "vae-64"
    depth: int = 4
    """Blocks of the transformer that reads the coarser scales."""
    head_depth: int = 2
    """Blocks that denoise a scale."""
    shared: bool = True
    """Let one layer make the modulation of all blocks of the transformer."""
    spatial: bool = True
    """Modulate each position by its own meaning, or all of a scale by their mean."""
    head_steps: int = 25
    """Euler steps that draw a scale."""


def generator(knobs: Knobs, pyramid: Pyramid) -> Generator:
    """A freshly initialised FlowAR that draws these pyramids."""
    layout, width, text = pyramid.layout, knobs.width, knobs.text_length
    semantics = ScaleTransformer(
        layout=layout, width=width, depth=knobs.depth, heads=knobs.heads, prefix=text, shared=knobs.shared
    )
    return Generator(
        layout=layout,
        order=Scales(),
        backbone=FlowScales(semantics, depth=knobs.head_depth, heads=knobs.heads, spatial=knobs.spatial),
        head=TrunkHead(pyramid.channels, knobs.width, Flow(knobs.head_steps, stochastic=False)),
        condition=family.text_condition(knobs),
        embed=ScaleEmbedding(pyramid.channels, knobs.width, pyramid),
    )


def build(knobs: Knobs) -> TextToImage:
    """A freshly initialised FlowAR over its tokenizer; raises `InputError` if doubling does not lead to its grid."""
    plain = family.frozen_tokenizer(knobs.tokenizer, discrete=False)
    family.one_grid(knobs.tokenizer, plain)
    tokenizer = PyramidTokenizer(plain)
    made = generator(knobs, tokenizer.quantizer)
    return family.text_to_image(knobs, made, tokenizer, partial(Decoder, guidance=with_steps))


RECIPE = Recipe(
    system="flowar",
    state="partly",
    paper="arXiv:2412.15205",
    knobs=Knobs,
    build=build,
    lesson=family.lesson,
    score=family.score,
    tiny={**family.TINY, "depth": 1, "head_depth": 1, "head_steps": 3},
    claims=(
        Claim(
            text="steered at each place by the meaning there, flow matching draws better than by the mean of the scale",
            source="arXiv:2412.15205, ablation of how meaning is injected: Spatial-adaLN against adaLN and others",
        ),
    ),
)

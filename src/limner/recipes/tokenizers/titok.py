"""TiTok: an image as a line of 32 tokens, none of which belongs to a position.

Yu et al., An Image is Worth 32 Tokens, arXiv:2406.07550, Section 3.2. Learnt queries read all cells of the image and
become the tokens; masks, one per cell, read the tokens and become the image. Deviations of the small size: one stage
that learns pixels at once, as the later released models do; a codebook of averages whose dead rows are reborn, soon, as
codes at first name tokens and not pictures; no discriminator; Muon.

    limner train titok --out runs/titok
    limner train maskgit --tokenizer runs/titok --out runs/maskgit-titok

In two stages as in Section 3.3, first another tokenizer's codes, then pixels by its decoder:

    limner train titok --proxy vq-vae-64 --out runs/codes
    limner train titok --proxy vq-vae-64 --finetune runs/codes --out runs/pixels
"""

from __future__ import annotations

from dataclasses import dataclass

from limner.errors import InputError
from limner.recipe import Claim, Recipe
from limner.recipes.tokenizers import family
from limner.store.folder import load
from limner.tokenizers.oned import LatentEncoder, MaskDecoder, OneDTokenizer, PatchPixels, Vit
from limner.tokenizers.proxy import ProxyObjective, ProxyPixels
from limner.tokenizers.quantizers.quantizer import Discrete
from limner.tokenizers.tokenizer import GridCodec, cells


@dataclass(frozen=True, kw_only=True)
class Knobs(family.Codebook):
    """Two vision transformers around a codebook."""

    count: int = 32
    """Tokens of a picture."""
    patch: int = 8
    """Pixels on a side of a cell."""
    width: int = 128
    """Width of both transformers."""
    encoder_depth: int = 3
    """Blocks of the encoder."""
    decoder_depth: int = 3
    """Blocks of the decoder."""
    revive_below: float = 0.5
    proxy: str | None = None
    """A tokenizer of a grid of codes, whose codes are learned first and whose decoder then makes the pixels."""
    images: int = 120_000
    lr: float = 1e-3
    muon: float = 3e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width < 64 or self.width % 64:
            raise InputError(f"--width is {self.width}, but must be a multiple of 64: each head of attention has 64")


def build(knobs: Knobs) -> OneDTokenizer:
    """A freshly initialised TiTok."""
    heads, size = knobs.width // 64, knobs.size
    quantizer = family.codebook(knobs, knobs.channels)
    encoder, decoder = (
        Vit(knobs.width, depth, heads, knobs.patch) for depth in (knobs.encoder_depth, knobs.decoder_depth)
    )
    return OneDTokenizer(
        LatentEncoder(encoder, size=size, count=knobs.count, features=quantizer.features),
        quantizer,
        MaskDecoder(
            decoder,
            size=size,
            count=knobs.count,
            channels=quantizer.channels,
            pixels=PatchPixels(knobs.width, knobs.patch) if knobs.proxy is None else by_proxy(knobs),
        ),
        size=size,
        unit=knobs.proxy is None,
    )


def proxy_of(knobs: Knobs) -> GridCodec:
    """The tokenizer whose codes are learned; raises `InputError` if it has none, or one for other cells."""
    proxy, grid = load(str(knobs.proxy)), cells(knobs.size, knobs.patch).grids
    if not isinstance(proxy, GridCodec) or not proxy.quantizer.discrete or proxy.at(knobs.size).layout.grids != grid:
        raise InputError(
            f"{knobs.proxy} has no code for each cell of {knobs.patch}x{knobs.patch} pixels: choose one such as "
            "vq-vae-64, or another --patch"
        )
    return proxy.at(knobs.size)


def by_proxy(knobs: Knobs) -> ProxyPixels:
    """What makes pixels by way of the proxy's codes."""
    proxy = proxy_of(knobs)
    codebook = proxy.quantizer
    assert isinstance(codebook, Discrete)
    return ProxyPixels(knobs.width, entries=codebook.entries, channels=codebook.channels, decoder=proxy.decoder)


def lesson(knobs: Knobs, model: OneDTokenizer) -> family.Lesson:
    """Training by pixels at once, or by the proxy's codes and then, with ``--finetune``, by pixels."""
    if knobs.proxy is None or knobs.finetune is not None:
        return family.lesson(knobs, model)
    assert isinstance(model.decoder.pixels, ProxyPixels)
    return family.lesson_by(ProxyObjective(model.decoder.pixels, proxy_of(knobs)), knobs, model)


RECIPE = Recipe(
    system="titok",
    state="works",
    paper="arXiv:2406.07550",
    knobs=Knobs,
    build=build,
    lesson=lesson,
    score=family.score,
    tiny={"size": 32, "width": 64, "encoder_depth": 1, "decoder_depth": 1, "count": 6, "entries": 32, "channels": 4},
    claims=(
        Claim(
            text="8 tokens of a line rebuild better than 16 of a grid with as many bits (96) by the same transformers",
            source="arXiv:2406.07550, abstract: 32 tokens where grids have 256 or 1024",
        ),
    ),
)

"""ELM's language models as their authors released them, over the bits of a binary autoencoder.

Liu et al., arXiv:2410.16257, code at github.com/Pepper-lll/LMforImageGeneration. Sizes are LlamaGen's, and so are the
blocks; tables and outputs stand once per sub-code, of which a token has two or more, and some models modulate their
blocks by the class. The tokenizer's weights have keys of their own, which are not read here.

    generator = limner.load("elm_l_2-12.pt")
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from limner.decode.decoder import Decoder
from limner.decode.schedules import Moment
from limner.generators.backbones.adaptive_llama import AdaptiveLlama
from limner.generators.backbones.llama import LlamaTransformer
from limner.generators.conditions import ClassCondition
from limner.generators.generator import Generator
from limner.generators.heads.factorized import ParallelDigitHead
from limner.generators.heads.head import SamplingOptions
from limner.generators.orders import Raster
from limner.nn.norms import gated_hidden
from limner.store.described import heads_of
from limner.store.official import llamagen
from limner.store.release import Draws, Names, Release, State, depth_of
from limner.types import Layout


@dataclass(frozen=True, kw_only=True)
class ElmSizes:
    """How large a generator is: ``codes`` of ``bits`` each per token; ``adaptive``: the class modulates the blocks."""

    width: int
    depth: int
    heads: int
    codes: int = 2
    bits: int = 12
    hidden: int | None = None
    adaptive: bool = False
    side: int = 16
    classes: int = 1000
    drop: float = 0.1
    dropout: float = 0.1


ELM_L = ElmSizes(width=1024, depth=24, heads=16)
HEADS = {**llamagen.HEADS, 1792: 28}  # by width, which shapes do not tell
OF_CODES = SamplingOptions(guidance=2.0, top_k=400)

RISES: dict[str, Callable[[int, int], float]] = {
    "constant": lambda step, total: 1.0,
    "linear": lambda step, total: step / total,
    "cos": lambda step, total: math.sin(math.pi / 2 * step / total),
    "log": lambda step, total: math.log1p(step / total * (math.e - 1)),
    "square": lambda step, total: (step / total) ** 2,
    "square_root": lambda step, total: ((step - 1) / total) ** 0.5,
}


@dataclass(frozen=True)
class Rising:
    """``1 + (g - 1) * r(s, S)`` in step s = 1 .. S, by the authors' names of r."""

    rise: str = "linear"

    def __call__(self, strength: float, moment: Moment) -> float:
        return 1.0 + (strength - 1.0) * RISES[self.rise](moment.step, moment.total)


def official_generator(sizes: ElmSizes) -> Generator:
    """A generator of these sizes, freshly initialised."""
    made = AdaptiveLlama if sizes.adaptive else LlamaTransformer
    backbone = made(
        grid=(sizes.side, sizes.side),
        prefix=1,
        width=sizes.width,
        depth=sizes.depth,
        heads=sizes.heads,
        hidden=sizes.hidden or gated_hidden(sizes.width),
        dropout=sizes.dropout,
    )
    return Generator(
        layout=Layout(((sizes.side, sizes.side),)),
        order=Raster(),
        backbone=backbone,
        head=ParallelDigitHead((2**sizes.bits,) * sizes.codes, sizes.width, bias=False),
        condition=ClassCondition(sizes.classes, sizes.width, 1),
        drop=sizes.drop,
    )


def official_decoder(generator: Generator) -> Decoder:
    """How the authors draw: guidance of 2 at the end, of the 400 likeliest sub-codes."""
    return Decoder(generator, OF_CODES, guidance=Rising())


def sizes_of(state: State) -> ElmSizes:
    """The sizes of a prepared state dict, for 16 x 16 tokens; heads as `heads_of` has them."""
    entries, width = state["tok_embedder.0.weight"].shape
    return ElmSizes(
        width=width,
        depth=depth_of(state, "layers"),
        heads=heads_of(state, width, HEADS),
        codes=depth_of(state, "tok_embedder"),
        bits=entries.bit_length() - 1,
        hidden=len(state["layers.0.feed_forward.w1.weight"]),
        adaptive="final_adaLN.1.weight" in state,
        classes=len(state["cls_embedding.classes"]),
    )


NAMES: Names = (
    (r"^head\.embed\.tables\.(\d+)\.", r"tok_embedder.\1."),
    (r"^head\.embed\.join\.", "proj."),
    (r"^head\.outputs\.(\d+)\.", r"output.\1."),
    (r"^backbone\.modulations\.(\d+)\.", r"layers.\1.adaLN_modulation.1."),
    (r"^backbone\.last_modulation\.", "final_adaLN.1."),
    *llamagen.GENERATOR_NAMES,
)
RELEASES = (
    Release(
        system="elm",
        kind="generator",
        signature=("cls_embedding.*", "tok_embedder.0.weight", "proj.weight", "output.0.weight", "norm.weight"),
        build=lambda state: official_generator(sizes_of(state)),
        names=NAMES,
        prepare=llamagen.prepared,
        draws=Draws(("elm",), lambda state: official_decoder, side=lambda generator: None),
    ),
)

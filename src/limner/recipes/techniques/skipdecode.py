"""SkipDecode: later tokens run through fewer layers, the top ones, and share what earlier tokens computed there.

Del Corro et al., SkipDecode, arXiv:2307.02628. A pass that begins after t of the N tokens of a picture runs

    n(t) = round(D - (D - least D) t / (N - 1))      of the D layers:  the first, then the top n(t) - 1

and the state of the first goes straight into the lowest of those. n never rises, so every layer that a token runs has
keys and values of all tokens before it, and nothing is copied or computed later. All rows of a batch, and both halves
of guidance, run the same layers. Approximate; ``least=1`` is exact. The paper tunes the model on this schedule, which
is not here. In a model of scales t counts the tokens of coarser ones, so large scales run the fewest layers.

    limner draw "a red heart" --model raster-emoji-64 --with skipdecode:least=0.5
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from limner.decode.decoder import Decoder, blocks_of
from limner.errors import InputError
from limner.nn.blocks import Context
from limner.nn.transformer import Sequence
from limner.recipe import Claim, Technique

LAYER = ("attn", "mlp")


@dataclass(frozen=True)
class Knobs:
    """How many layers are left."""

    least: float = 0.5
    """Share of the layers that the last token runs; the first token runs all."""


@dataclass(frozen=True)
class Skipping:
    """A hook of a stack whose cache holds the condition's positions, then those of tokens.

    Args:
        depth: layers of the stack.
        count: tokens of a picture.
        least: share of the layers that the last token runs.
        top: skip the layers above the lowest n instead, the control.
    """

    depth: int
    count: int
    least: float
    top: bool = False

    def layers(self, known: int) -> int:
        """How many layers a pass runs that begins after so many tokens."""
        share = known / max(self.count - 1, 1)
        return max(1, round(self.depth - (self.depth - self.least * self.depth) * share))

    def __call__(self, layer: int, x: Sequence, context: Context) -> tuple[Sequence, Context]:
        if layer == 0:
            return x, context
        if context.cache is None:
            raise InputError("layers are skipped by what is cached: draw with a cache, or leave this technique out")
        known = max(context.cache.length(0) - x.shape[1] - context.cache.lead, 0)  # the first layer has run
        number = self.layers(known)
        skipped = layer >= number if self.top else layer <= self.depth - number
        return x, context._replace(skip=(*context.skip, *LAYER)) if skipped else context


def apply(decoder: Decoder, knobs: Knobs) -> Decoder:
    """The decoder with layers skipped; raises `InputError` if the generator is no single stack of blocks."""
    if not 0 < knobs.least <= 1:
        raise InputError(f"a share of {knobs.least} of the layers cannot be run: choose one above 0 and at most 1")
    hook = Skipping(len(blocks_of(decoder.generator)), decoder.generator.count, knobs.least)
    return replace(decoder, hooks=(*decoder.hooks, hook))


RECIPE = Technique(
    system="skipdecode",
    state="partly",
    paper="arXiv:2307.02628",
    knobs=Knobs,
    apply=apply,
    on=Decoder,
    host="generators/llamagen",
    neutral={"least": 1.0},
    claims=(
        Claim(text="with all layers every image is the model's own", source="Section 3"),
        Claim(text="images are better than where the top layers are skipped", source="Section 3.2"),
    ),
)

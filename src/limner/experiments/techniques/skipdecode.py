"""SkipDecode on the small world's raster model: the lower layers skipped against the top ones."""

from __future__ import annotations

from dataclasses import replace

from limner.decode.decoder import Decoder, blocks_of
from limner.experiments.experiment import Experiment
from limner.experiments.techniques.drafts import falls, same_images, token_by_token
from limner.recipes.techniques.skipdecode import Knobs, Skipping, apply

LEAST = 0.34  # of 3 layers: from 3 to 1, 2 on average


def all_layers(experiment: Experiment, seed: int, decoder: Decoder) -> Decoder:
    """All layers, by the technique."""
    return apply(decoder, Knobs(1.0))


def lower(experiment: Experiment, seed: int, decoder: Decoder) -> Decoder:
    """SkipDecode."""
    return apply(decoder, Knobs(LEAST))


def top(experiment: Experiment, seed: int, decoder: Decoder) -> Decoder:
    """The control: as many layers, of which the lowest run."""
    hook = Skipping(len(blocks_of(decoder.generator)), decoder.generator.count, LEAST, top=True)
    return replace(decoder, hooks=(hook,))


CLAIMS = (
    same_images(all_layers, token_by_token, "every image of all layers is that of the model", "token by token"),
    falls(
        "frechet",
        {"top layers skipped": top, "lower layers skipped": lower},
        "a gap in frechet whose interval holds 0 or favours the control",
    ),
)

"""GSD on the shipped raster model: token by token, drafts verified exactly, and drafts verified by group."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from limner.decode.decoder import Decoder
from limner.decode.speculative import Speculative
from limner.decode.step import Predictor, Progress, Step
from limner.experiments.experiment import Experiment, Finding
from limner.experiments.generators.drawing import held_out, shares
from limner.experiments.smallworld import distance, gap, summary
from limner.models.text_to_image import TextToImage
from limner.recipes.techniques.gsd import Knobs, apply
from limner.store.folder import load
from limner.types import Rng, derive_seed

MODEL, WINDOW, BATCH = "raster-emoji-64", 8, 20
MARGIN = 0.1  # share of a distance by which another may be larger and still count as no worse
ARMS: dict[str, Callable[[Decoder], Decoder]] = {
    "token by token": lambda decoder: decoder,
    "exact": lambda decoder: replace(decoder, step=Speculative(window=WINDOW)),
    "group of one": lambda decoder: apply(decoder, Knobs(window=WINDOW, radius=0)),
    "grouped": lambda decoder: apply(decoder, Knobs(window=WINDOW)),
}


class Pictures(NamedTuple):
    """Drawings of the held-out captions: their ids, the mean number of passes of one, their distance to the true
    pictures, and how often the recogniser reads what the caption says."""

    ids: Int[Tensor, "b n"]
    passes: float
    frechet: float
    read: dict[str, float]


def findings(experiment: Experiment) -> tuple[Finding, ...]:
    """One per claim of the technique."""
    found = {name: [_drawn(experiment, name, seed) for seed in experiment.seeds] for name in ARMS}
    measured = {name: _report(pictures) for name, pictures in found.items()}
    passes = {name: [one.passes for one in pictures] for name, pictures in found.items()}
    fewer = gap(passes["grouped"], passes["exact"]), gap(passes["exact"], passes["token by token"])
    alike = [
        float((one.ids == other.ids).all(1).float().mean())
        for one, other in zip(found["group of one"], found["exact"], strict=True)
    ]
    plain, grouped = ([one.frechet for one in found[name]] for name in ("token by token", "grouped"))
    worse = gap(plain, grouped)
    bound = MARGIN * sum(plain) / len(plain)
    return (
        Finding(
            all(difference["interval"][0] > 0 for difference in fewer),
            {"drawings": measured, "exact - grouped": fewer[0], "token by token - exact": fewer[1]},
        ),
        Finding(min(alike) == 1.0, {"share of equal pictures": summary(alike)}),
        Finding(worse["interval"][1] <= bound, {"grouped - token by token": worse, "bound": bound}),
    )


def _drawn(experiment: Experiment, name: str, seed: int) -> Pictures:
    """The held-out captions, drawn by one arm."""
    model: TextToImage = load(MODEL)
    real, captions = held_out()
    turns: list[Tensor] = []
    decoder = ARMS[name](model.own_decoder())
    decoder = replace(decoder, step=counting(decoder.step, turns))
    ids = []
    for at in range(0, len(captions), BATCH):
        some = captions[at : at + BATCH]
        seeds = [derive_seed(seed, "drawn", at + i) for i in range(len(some))]
        ids.append(decoder(model.subwords.encode(some), Rng(seeds)))
    with torch.no_grad():
        images = torch.cat([model.decode(part) for part in ids])
    passes = float(sum(turn.sum() for turn in turns)) / len(captions)
    found = Pictures(torch.cat(ids), passes, distance(images, real), shares(images))
    experiment.say(f"{name}, seed {seed}: {passes:.2f} passes, distance {found.frechet:.4f}, {found.read}")
    return found


def counting(step: Step, turns: list[Tensor]) -> Step:
    """``step``, noting which rows it serves: those that do not know all of their tokens yet."""

    def counted(now: Progress, predictor: Predictor, rng: Rng) -> Progress:
        count = now.tokens.shape[1]
        known = torch.full((len(now.tokens),), now.done) if now.memory is None else now.memory.known
        turns.append(known < count)
        return step(now, predictor, rng)

    return counted


def _report(pictures: list[Pictures]) -> dict[str, Any]:
    read = {part: summary([one.read[part] for one in pictures]) for part in pictures[0].read}
    return {
        "passes": summary([one.passes for one in pictures]),
        "frechet": summary([one.frechet for one in pictures]),
        **read,
    }

"""GSD on the shipped raster model: token by token, drafts verified exactly, and drafts verified by group."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

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
Change: TypeAlias = Callable[[Decoder], Decoder]


def token_by_token(decoder: Decoder) -> Decoder:
    """As it is."""
    return decoder


def exact(decoder: Decoder) -> Decoder:
    """The same drafts, accepted each by its own probability."""
    return replace(decoder, step=Speculative(window=WINDOW))


def group_of_one(decoder: Decoder) -> Decoder:
    """GSD whose groups hold the draft alone."""
    return apply(decoder, Knobs(window=WINDOW, radius=0))


def grouped(decoder: Decoder) -> Decoder:
    """GSD."""
    return apply(decoder, Knobs(window=WINDOW))


def findings(experiment: Experiment) -> tuple[Finding, ...]:
    """One per claim of the technique."""
    model: TextToImage = load(MODEL)
    arms = (token_by_token, exact, grouped)
    found = {arm.__name__: [_scores(experiment, model, arm, seed) for seed in experiment.seeds] for arm in arms}
    measured = {name: {part: summary([one[part] for one in ones]) for part in ones[0]} for name, ones in found.items()}
    plain, exactly, by_group = ([one["passes"] for one in ones] for ones in found.values())
    fewer = {"exact - grouped": gap(by_group, exactly), "token by token - exact": gap(exactly, plain)}
    first = slice(0, BATCH)
    alike = [
        float((_ids(model, group_of_one, seed, first)[0] == _ids(model, exact, seed, first)[0]).all(1).float().mean())
        for seed in experiment.seeds
    ]
    distances, others = ([one["frechet"] for one in found[name]] for name in ("token_by_token", "grouped"))
    worse, bound = gap(distances, others), MARGIN * sum(distances) / len(distances)
    return (
        Finding(min(one["interval"][0] for one in fewer.values()) > 0, {"drawings": measured} | fewer),
        Finding(min(alike) == 1.0, {"share of equal images": summary(alike)}),
        Finding(worse["interval"][1] <= bound, {"grouped - token by token": worse, "bound": bound}),
    )


def _scores(experiment: Experiment, model: TextToImage, arm: Change, seed: int) -> dict[str, float]:
    """Passes per image, distance to the true pictures of the held-out captions, and what the recogniser reads right."""
    (real, captions), parts, served = held_out(), [], 0
    for at in range(0, len(captions), BATCH):
        ids, count = _ids(model, arm, seed, slice(at, at + BATCH))
        parts.append(ids)
        served += count
    with torch.no_grad():
        images = torch.cat([model.decode(ids) for ids in parts])
    scores = {"passes": served / len(captions), "frechet": distance(images, real)} | shares(images)
    experiment.say(f"{arm.__name__}, seed {seed}: {scores}")
    return scores


def _ids(model: TextToImage, arm: Change, seed: int, part: slice) -> tuple[Int[Tensor, "b n"], int]:
    """Drawings of some held-out captions, and the passes in all, each counted for every row it serves."""
    captions = held_out()[1]
    served: list[int] = []
    decoder = arm(model.own_decoder())
    decoder = replace(decoder, step=counting(decoder.step, served))
    seeds = [derive_seed(seed, "drawn", number) for number in range(len(captions))]
    ids = decoder(model.subwords.encode(captions[part]), Rng(seeds[part]))
    return ids, sum(served)


def counting(step: Step, served: list[int]) -> Step:
    """``step``, noting how many rows it serves: those that do not know all of their tokens yet."""

    def counted(now: Progress, predictor: Predictor, rng: Rng) -> Progress:
        unfinished = None if now.memory is None else now.memory.known < now.tokens.shape[1]
        served.append(len(now.tokens) if unfinished is None else int(unfinished.sum()))
        return step(now, predictor, rng)

    return counted

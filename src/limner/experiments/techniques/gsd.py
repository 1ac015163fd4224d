"""GSD on the shipped raster model: token by token, drafts verified exactly, and drafts verified by group."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

import torch
from jaxtyping import Int
from torch import Tensor

from limner.decode.decoder import Decoder
from limner.decode.speculative import Speculative
from limner.evaluate.prompts import Prompt, prompt_sets
from limner.evaluate.statistics import gain_over_seeds, over_seeds
from limner.experiments.claims import Comparison, Measured
from limner.experiments.experiment import Experiment
from limner.experiments.scores import frechet, read_right
from limner.experiments.techniques.drafts import counting
from limner.experiments.world import BARS, HELD_OUT, reached, scaled
from limner.models.text_to_image import TextToImage
from limner.nn.pixels import to_tensor
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


@functools.lru_cache(maxsize=1)
def measured(experiment: Experiment) -> dict[str, dict[str, list[float]]]:
    """By arm and score, the values of all seeds."""
    model: TextToImage = load(MODEL)
    found = {}
    for arm in (token_by_token, exact, grouped):
        by_seed = [_scores(experiment, model, arm, seed) for seed in experiment.seeds]
        found[arm.__name__] = {part: [one[part] for one in by_seed] for part in by_seed[0]}
    return found


def competence(experiment: Experiment) -> dict[str, Any]:
    """Does the shipped model draw what captions say?"""
    plain, bars = measured(experiment)["token_by_token"], BARS["generators"]
    return {MODEL: {part: reached(plain[part], bar) for part, bar in bars.items()}}


def takes_fewer_passes(experiment: Experiment) -> Measured:
    """Passes: grouped < exact < token by token."""
    found = measured(experiment)
    plain, exactly, by_group = (found[name]["passes"] for name in ("token_by_token", "exact", "grouped"))
    fewer = {
        "exact - grouped": gain_over_seeds(exactly, by_group),
        "token by token - exact": gain_over_seeds(plain, exactly),
    }
    report = {name: {part: over_seeds(values) for part, values in scores.items()} for name, scores in found.items()}
    return min(one["interval"][0] for one in fewer.values()) > 0, {"drawings": report} | fewer


def group_of_one_is_exact(experiment: Experiment) -> Measured:
    """Images of groups of one id are those of exact verification."""
    model: TextToImage = load(MODEL)
    texts = [prompt.text for prompt in _prompts(experiment)][:BATCH]
    alike = []
    for seed in experiment.seeds:
        one, other = (_ids(model, arm, seed, 0, texts)[0] for arm in (group_of_one, exact))
        alike.append(float((one == other).all(1).float().mean()))
    return min(alike) == 1.0, {"share of equal images": over_seeds(alike)}


def draws_as_well(experiment: Experiment) -> Measured:
    """Frechet distance: grouped no worse than token by token by `MARGIN` of it."""
    plain, by_group = (measured(experiment)[name]["frechet"] for name in ("token_by_token", "grouped"))
    worse, bound = gain_over_seeds(by_group, plain), MARGIN * sum(plain) / len(plain)
    return worse["interval"][1] <= bound, {"grouped - token by token": worse, "bound": bound}


def _prompts(experiment: Experiment) -> list[Prompt]:
    return prompt_sets(scaled(experiment, HELD_OUT), num_emoji=1)["single"]


def _scores(experiment: Experiment, model: TextToImage, arm: Change, seed: int) -> dict[str, float]:
    """Passes per image, distance to the true images of the held-out captions, and what the recogniser reads right."""
    prompts, parts, served = _prompts(experiment), [], 0
    for at in range(0, len(prompts), BATCH):
        ids, count = _ids(model, arm, seed, at, [prompt.text for prompt in prompts[at : at + BATCH]])
        parts.append(ids)
        served += count
    with torch.no_grad():
        images = torch.cat([model.decode(ids) for ids in parts])
    real = to_tensor([prompt.picture for prompt in prompts])
    scores = {"passes": served / len(prompts), "frechet": frechet(images, real)} | read_right(images, prompts)
    experiment.say(f"{arm.__name__}, seed {seed}: {scores}")
    return scores


def _ids(model: TextToImage, arm: Change, seed: int, at: int, texts: list[str]) -> tuple[Int[Tensor, "b n"], int]:
    """Drawings of captions, the first of which is number ``at``, and the passes in all, each counted for every row it
    serves."""
    served: list[int] = []
    decoder = arm(model.own_decoder())
    decoder = replace(decoder, step=counting(decoder.step, served))
    seeds = [derive_seed(seed, "drawn", at + number) for number in range(len(texts))]
    ids = decoder(model.subwords.encode(texts), Rng(seeds))
    return ids, sum(served)


def _claim(bound: str, refuted: str, measure: Callable[[Experiment], Measured], control: str) -> Comparison:
    return Comparison((), bound, refuted, measure, control, competence)


CLAIMS = (
    _claim(
        "passes: grouped < exact < token by token",
        "a gap in passes whose interval holds 0",
        takes_fewer_passes,
        "token by token",
    ),
    _claim(
        "every image of groups of one id is that of exact verification",
        "one image that differs",
        group_of_one_is_exact,
        "exact",
    ),
    _claim(
        f"frechet: grouped no worse than token by token by {MARGIN:.0%} of the control's",
        "a gap in frechet whose interval reaches beyond that",
        draws_as_well,
        "token by token",
    ),
)

"""CoDe on the shipped pair of VARs: what is drawn, and operations and caches by how many scales each of them draws."""

from __future__ import annotations

import functools
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from limner.decode.decoder import Decoder
from limner.decode.handover import Handover
from limner.decode.step import Predictor, Progress, Step
from limner.evaluate.prompts import prompt_sets
from limner.evaluate.statistics import gain_over_seeds, over_seeds
from limner.experiments.claims import Comparison, Measured
from limner.experiments.experiment import Experiment
from limner.experiments.scores import frechet, read_right
from limner.experiments.world import BARS, reached, scaled
from limner.models.text_to_image import TextToImage
from limner.nn.pixels import to_tensor
from limner.store.folder import load
from limner.types import Rng, derive_seed

LARGE, SMALL = "var-emoji-64", "var-emoji-64-small"
COUNT, DRAFTED = 60, 4


@functools.lru_cache(maxsize=2)
def shipped(name: str) -> TextToImage:
    """A shipped model."""
    model = load(name)
    assert isinstance(model, TextToImage)
    return model


def handed_over(first: TextToImage, second: TextToImage, after: int) -> Decoder:
    """The decoder of the first model, which hands over to the second."""
    return replace(first.own_decoder(), step=Handover(second.generator, after))


def draws_as_alone(experiment: Experiment) -> Measured:
    """Share of images that are those of the model alone."""
    model, alike = shipped(LARGE), []
    texts = [prompt.text for prompt in prompt_sets(scaled(experiment, COUNT), num_emoji=1)["single"]][:8]
    condition = model.subwords.encode(texts)
    for seed in experiment.seeds:
        seeds = [derive_seed(seed, "drawn", number) for number in range(len(texts))]
        one, other = (
            decoder(condition, Rng(seeds)) for decoder in (model.own_decoder(), handed_over(model, model, DRAFTED))
        )
        alike.append(float((one == other).all(1).float().mean()))
    return min(alike) == 1.0, {"share of equal images": over_seeds(alike)}


def costs(after: int) -> tuple[float, float]:
    """Operations of one image, and the numbers in keys and values after the last step."""
    large, small = shipped(LARGE), shipped(SMALL)
    held: list[Predictor] = []
    decoder = handed_over(large, small, after)

    def noting(step: Step) -> Step:
        def noted(now: Progress, predictor: Predictor, rng: Rng) -> Progress:
            done = step(now, predictor, rng)
            held[:] = [predictor, *([done.memory] if isinstance(done.memory, Predictor) else [])]
            return done

        return noted

    with FlopCounterMode(display=False) as counter:
        replace(decoder, step=noting(decoder.step))(large.subwords.encode(["a red heart"]), Rng([0]))
    numbers = sum(
        2 * predictor.cache.depth * predictor.cache.length(0) * predictor.generator.backbone.width for predictor in held
    )
    return float(counter.get_total_flops()), float(numbers)


def costs_less(experiment: Experiment) -> Measured:
    """Operations and cached numbers of an image fall with every scale that the small model draws."""
    scales = len(shipped(LARGE).tokenizer.layout.grids)
    found = {after: costs(after) for after in range(scales, 0, -1)}
    falls = all(less[0] < more[0] for more, less in pairwise(found.values()))
    report = {f"{after} scales by the large": {"operations": one, "cached": two} for after, (one, two) in found.items()}
    return falls, report


@functools.lru_cache(maxsize=4)
@torch.no_grad()
def scores(experiment: Experiment, first: str, second: str) -> dict[str, list[float]]:
    """By score, the values of all seeds of a pair of models."""
    wanted, by_seed = prompt_sets(scaled(experiment, COUNT), num_emoji=1)["single"], []
    model, texts = shipped(first), [prompt.text for prompt in wanted]
    decoder = handed_over(model, shipped(second), DRAFTED)
    for seed in experiment.seeds:
        seeds = [derive_seed(seed, "drawn", number) for number in range(len(texts))]
        images = model.decode(decoder(model.subwords.encode(texts), Rng(seeds)))
        distance = frechet(images, to_tensor([prompt.picture for prompt in wanted]))
        by_seed.append({"frechet": distance} | read_right(images, wanted))
        experiment.say(f"{first} then {second}, seed {seed}: {by_seed[-1]}")
    return {part: [one[part] for one in by_seed] for part in by_seed[0]}


def draws_better(experiment: Experiment) -> Measured:
    """Frechet distance: large then small < small then large."""
    arms = {"large then small": (LARGE, SMALL), "small then large": (SMALL, LARGE), "large": (LARGE, LARGE)}
    found = {name: scores(experiment, *pair) for name, pair in arms.items()}
    gain = gain_over_seeds(found["small then large"]["frechet"], found["large then small"]["frechet"])
    report = {name: {part: over_seeds(values) for part, values in one.items()} for name, one in found.items()}
    return gain["interval"][0] > 0, {"drawings": report, "gain of large then small": gain}


def competence(experiment: Experiment) -> dict[str, Any]:
    """Does the large model draw what captions say?"""
    found = scores(experiment, LARGE, LARGE)
    return {LARGE: {part: reached(found[part], bar) for part, bar in BARS["generators"].items()}}


CLAIMS = (
    Comparison((), "every image is that of the model alone", "one image that differs", draws_as_alone, LARGE),
    Comparison(
        (),
        "operations of an image fall with every scale that the small model draws",
        "a scale that costs more",
        costs_less,
        LARGE,
    ),
    Comparison(
        (),
        "frechet: large then small < small then large",
        "a gap in frechet whose interval does not favour large then small",
        draws_better,
        "small then large",
        competence,
    ),
)

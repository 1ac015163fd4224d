"""What techniques of drafts share: the small world's raster model, drawn from under each change of its decoder.

Passes are those of the large model, counted for every image that they serve; a drafter has its own training.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any, TypeAlias

import torch
from jaxtyping import Int
from torch import Tensor

from limner.decode.decoder import Decoder
from limner.decode.drafting import Draft, Drafter
from limner.decode.speculative import drafting
from limner.decode.step import Predictor, Progress, Step
from limner.evaluate.statistics import gain_over_seeds, over_seeds
from limner.experiments.claims import Comparison, Measured, competence_of
from limner.experiments.experiment import Experiment
from limner.experiments.generators.baselines import RASTER
from limner.experiments.scores import BATCH, frechet, read_right
from limner.experiments.tokenizers.baselines import VQ
from limner.experiments.world import Arm, prompts, trained
from limner.models.text_to_image import TextToImage
from limner.nn.pixels import to_tensor
from limner.types import Rng, derive_seed

SMALL = Arm("llamagen, one block", "generators/llamagen", {"depth": 1, "tokenizer": VQ}, judged=False)
Change: TypeAlias = Callable[[Experiment, int, Decoder], Decoder]  # of the decoder of the arm under a seed


def token_by_token(experiment: Experiment, seed: int, decoder: Decoder) -> Decoder:
    """As it is."""
    return decoder


@functools.lru_cache(maxsize=4)
def drafter(experiment: Experiment, seed: int) -> Draft:
    """The small model's drafts."""
    model = trained(experiment, SMALL, seed)
    assert isinstance(model, TextToImage)
    return Drafter(model.generator)


def drafted(window: int) -> Change:
    """Drafts of the small model, verified exactly."""
    return lambda experiment, seed, decoder: drafting(decoder, drafter(experiment, seed), window)


def counting(step: Step, served: list[int]) -> Step:
    """``step``, noting how many rows it serves: those that do not know all of their tokens yet."""

    def counted(now: Progress, predictor: Predictor, rng: Rng) -> Progress:
        unfinished = None if now.memory is None else now.memory.known < now.tokens.shape[1]
        served.append(len(now.tokens) if unfinished is None else int(unfinished.sum()))
        return step(now, predictor, rng)

    return counted


def drawn(experiment: Experiment, seed: int, change: Change) -> tuple[Int[Tensor, "b n"], float]:
    """Ids of all held-out captions, and passes per image."""
    model, served, parts = trained(experiment, RASTER, seed), list[int](), []
    assert isinstance(model, TextToImage)
    decoder = change(experiment, seed, model.own_decoder())
    decoder = replace(decoder, step=counting(decoder.step, served))
    texts = [prompt.text for prompt in prompts(experiment)]
    for at in range(0, len(texts), BATCH):
        part = texts[at : at + BATCH]
        seeds = [derive_seed(seed, "drawn", at + number) for number in range(len(part))]
        parts.append(decoder(model.subwords.encode(part), Rng(seeds)))
    return torch.cat(parts), sum(served) / len(texts)


@functools.lru_cache(maxsize=64)
def scored(experiment: Experiment, name: str, change: Change) -> dict[str, list[float]]:
    """By score, the values of all seeds."""
    by_seed = []
    for seed in experiment.seeds:
        model = trained(experiment, RASTER, seed)
        assert isinstance(model, TextToImage)
        wanted, (ids, passes) = prompts(experiment), drawn(experiment, seed, change)
        with torch.no_grad():
            images = torch.cat([model.decode(part) for part in ids.split(BATCH)])
        distance = frechet(images, to_tensor([prompt.picture for prompt in wanted]))
        by_seed.append({"passes": passes, "frechet": distance} | read_right(images, wanted))
        experiment.say(f"{name}, seed {seed}: {by_seed[-1]}")
    return {part: [one[part] for one in by_seed] for part in by_seed[0]}


def competence(experiment: Experiment) -> dict[str, Any]:
    """Does the model that is drawn from draw what captions say?"""
    return competence_of(experiment, (RASTER,))


def falls(score: str, arms: dict[str, Change], refuted: str) -> Comparison:
    """A score falls from each arm to the next, beyond doubt."""
    names = list(arms)

    def measure(experiment: Experiment) -> Measured:
        found = {name: scored(experiment, name, change) for name, change in arms.items()}
        gains = {
            f"{more} - {less}": gain_over_seeds(found[more][score], found[less][score])
            for more, less in pairwise(names)
        }
        report: dict[str, Any] = {
            name: {part: over_seeds(values) for part, values in scores.items()} for name, scores in found.items()
        }
        return min(one["interval"][0] for one in gains.values()) > 0, {"drawings": report} | gains

    bound = f"{score}: {' > '.join(names)}"
    return Comparison((), bound, refuted, measure, names[0], competence, tuple(names))


def stays(score: str, arms: dict[str, Change], margin: float) -> Comparison:
    """A score of which less is better is beyond doubt no larger in the second arm than in the first, but for a
    ``margin`` of the first's."""
    (control, plain), (name, change) = arms.items()

    def measure(experiment: Experiment) -> Measured:
        own, other = (scored(experiment, *arm)[score] for arm in ((name, change), (control, plain)))
        worse, bound = gain_over_seeds(own, other), margin * sum(other) / len(other)
        report = {name: over_seeds(own), control: over_seeds(other), f"{name} - {control}": worse, "bound": bound}
        return worse["interval"][1] <= bound, report

    amount = f"{margin:.0%} of the control's"
    refuted = f"a gap in {score} whose interval reaches beyond that in favour of {control}"
    words = f"{score}: {name} no worse than {control} by {amount}"
    return Comparison((), words, refuted, measure, control, competence, (name, control))


def same_images(one: Change, other: Change, bound: str, control: str) -> Comparison:
    """Two changes draw the same ids."""

    def measure(experiment: Experiment) -> Measured:
        alike = []
        for seed in experiment.seeds:
            first, second = (drawn(experiment, seed, change)[0] for change in (one, other))
            alike.append(float((first == second).all(1).float().mean()))
        return min(alike) == 1.0, {"share of equal images": over_seeds(alike)}

    return Comparison((), bound, "one image that differs", measure, control)

"""CSpD on mar-emoji-64, which drafts for itself: no smaller model of its tokens ships, so what is shown is that drafts
are verified as claimed, and not that time is saved.

    plain        token by token
    aligned      verified every 4 steps, from the noise that was drafted from
    other noise  the control: verified from noise of its own
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from limner.decode.continuous import Drawn, ratio, residual_share
from limner.decode.decoder import Decoder
from limner.decode.step import Predictor, Progress, Step
from limner.evaluate.prompts import prompt_sets
from limner.evaluate.statistics import gain_over_seeds, over_seeds
from limner.experiments.claims import Comparison, Measured
from limner.experiments.experiment import Experiment
from limner.experiments.scores import read_right
from limner.experiments.world import BARS, reached, scaled
from limner.generators.heads.diffusion import Traced
from limner.models.text_to_image import TextToImage
from limner.recipes.techniques.cspd import Knobs, drafted
from limner.store.folder import load
from limner.types import Rng, derive_seed

MODEL, COUNT, EVERY, PAIRS = "mar-emoji-64", 24, 4, 200
MARGIN, ROUNDING = 0.05, 1e-3
Arm = Callable[[TextToImage, Decoder], Decoder]
ARMS: dict[str, Arm] = {
    "plain": lambda model, decoder: decoder,
    "aligned": lambda model, decoder: drafted(decoder, model.generator, Knobs(every=EVERY)),
    "other noise": lambda model, decoder: drafted(decoder, model.generator, Knobs(every=EVERY), aligned=False),
}


def density(one: Traced) -> Float[Tensor, "b m"]:
    return torch.distributions.Normal(one.mean, one.deviation).log_prob(one.x).sum(-1).exp()


def has_the_law(experiment: Experiment) -> Measured:
    """Largest difference, times the deviation, between the density of what is drawn and p, on a grid over the line."""
    found = []
    for seed in experiment.seeds:
        means, logs = Rng(seed).normal(2, PAIRS, 1, 1), Rng(seed + 100).normal(2, PAIRS, 1, 1)
        x = torch.linspace(-12, 12, 4001).expand(PAIRS, -1)[..., None]
        q, p = (
            Traced(x, *(part.expand_as(x) for part in (mean, (0.3 * log).exp(), torch.zeros_like(mean))))
            for mean, log in zip(means, logs, strict=True)
        )
        step = 24 / 4000
        kept, rest = density(q) * ratio(p, q, x, 1.0).clamp_max(1.0), density(p) * residual_share(p, q, x)
        refused = 1.0 - (step * kept).sum(1, keepdim=True)
        law = kept + refused * rest / (step * rest).sum(1, keepdim=True).clamp_min(1e-12)
        found.append(float(((law - density(p)) * p.deviation[..., 0]).abs().max()))
    return max(found) < ROUNDING, {"largest difference of a density": over_seeds(found)}


@functools.lru_cache(maxsize=1)
def measured(experiment: Experiment) -> dict[str, dict[str, list[float]]]:
    """By arm and score, the values of all seeds."""
    model: TextToImage = load(MODEL)
    found = {}
    for name, arm in ARMS.items():
        by_seed = [scores(experiment, model, name, arm, seed) for seed in experiment.seeds]
        found[name] = {part: [one[part] for one in by_seed] for part in by_seed[0]}
    return found


@torch.no_grad()
def scores(experiment: Experiment, model: TextToImage, name: str, arm: Arm, seed: int) -> dict[str, float]:
    """What the recogniser reads right, passes of the model as the one that verifies, and the share of drafts that
    stayed."""
    wanted = prompt_sets(scaled(experiment, COUNT), num_emoji=1)["single"]
    texts = [prompt.text for prompt in wanted]
    decoder, notes = arm(model, model.own_decoder()), list[Progress]()
    decoder = replace(decoder, step=noting(decoder.step, notes))
    seeds = [derive_seed(seed, "drawn", number) for number in range(len(texts))]
    images = model.decode(decoder(model.subwords.encode(texts), Rng(seeds)))
    found = read_right(images, wanted) | {"passes": float(len(notes)), "stayed": 0.0}
    if isinstance(notes[-1].memory, Drawn):
        passes = len({now.memory.verified for now in notes} - {0})
        found |= {"passes": float(passes), "stayed": notes[-1].memory.stayed}
    experiment.say(f"{name}, seed {seed}: {found}")
    return found


def noting(step: Step, notes: list[Progress]) -> Step:
    """``step``, noting where it comes to."""

    def noted(now: Progress, predictor: Predictor, rng: Rng) -> Progress:
        notes.append(step(now, predictor, rng))
        return notes[-1]

    return noted


def competence(experiment: Experiment) -> dict[str, Any]:
    """Does the shipped model draw what captions say?"""
    plain = measured(experiment)["plain"]
    return {MODEL: {part: reached(plain[part], bar) for part, bar in BARS["generators"].items()}}


def stays_by_alignment(experiment: Experiment) -> Measured:
    """Share of drafts that stay: the same noise > other noise."""
    aligned, other = (measured(experiment)[name]["stayed"] for name in ("aligned", "other noise"))
    gain = gain_over_seeds(aligned, other)
    return gain["interval"][0] > 0, {
        "share that stays": {"aligned": over_seeds(aligned), "other noise": over_seeds(other)},
        "aligned - other noise": gain,
    }


def draws_as_well(experiment: Experiment) -> Measured:
    """What is read right: no worse than plain by `MARGIN`, in at most half the passes."""
    found = measured(experiment)
    passes = {name: found[name]["passes"][0] for name in ("plain", "aligned")}
    gains = {part: gain_over_seeds(found["aligned"][part], found["plain"][part]) for part in BARS["generators"]}
    report = {name: {part: over_seeds(values) for part, values in scores.items()} for name, scores in found.items()}
    held = min(gain["interval"][0] for gain in gains.values()) >= -MARGIN and 2 * passes["aligned"] <= passes["plain"]
    return held, {"drawings": report, "passes": passes} | gains


CLAIMS = (
    Comparison(
        (),
        "density of what is drawn from two Gaussians - p: 0",
        f"a difference of {ROUNDING:g} of a deviation",
        has_the_law,
    ),
    Comparison(
        (),
        "share of drafts that stay: the same noise > other noise",
        "a gap whose interval holds 0",
        stays_by_alignment,
        "other noise",
        competence,
    ),
    Comparison(
        (),
        f"read right: no worse than plain by {MARGIN:g}, in at most half the passes",
        "a gap whose interval reaches beyond that, or more passes",
        draws_as_well,
        "plain",
        competence,
    ),
)

"""VQ-VAE with and without rebirth of dead rows, and what its codes are good for."""

from __future__ import annotations

import functools

import torch

from limner.data.scenes import Scenes
from limner.evaluate.codebook import code_shares, usage
from limner.experiments import smallworld
from limner.experiments.experiment import Experiment, Finding
from limner.experiments.smallworld import drawing_distances, gap, held_out, summary, tokenizer
from limner.nn.pixels import to_tensor
from limner.tokenizers.autoencoder import Autoencoder
from limner.types import Image

COUNTED = 2_000  # training scenes over which codes are counted


def findings(experiment: Experiment) -> tuple[Finding, ...]:
    """One per claim of the recipe."""
    return rebirth_fills_the_codebook(experiment), codes_draw(experiment)


@functools.cache
def counted(size: int, count: int) -> Image:
    """Training scenes over which codes are counted."""
    scenes = Scenes(5, split="train", size=size, objects=(1, 4))
    return to_tensor([scenes[i].image for i in range(count)])


@torch.no_grad()
def usage_of(model: Autoencoder) -> float:
    """Share of the codebook that the counted training scenes and all held-out pictures use."""
    image = torch.cat([held_out(model.size), counted(model.size, COUNTED)])
    ids = torch.cat([model.encode(part) for part in image.split(200)])
    return usage(code_shares(ids, smallworld.ENTRIES))


def rebirth_fills_the_codebook(experiment: Experiment) -> Finding:
    """Codebook usage with and without rebirth of dead rows."""
    found = {name: [usage_of(tokenizer(experiment, name, s)) for s in experiment.seeds] for name in ("vq", "vq-mortal")}
    difference = gap(found["vq-mortal"], found["vq"])
    holds = min(found["vq"]) >= 0.9 and difference["interval"][0] > 0
    return Finding(holds, {"usage": {name: summary(v) for name, v in found.items()}, "rebirth - none": difference})


def codes_draw(experiment: Experiment) -> Finding:
    """Codes with a categorical head against AE latents with a squared-error head: distance at least twice as large."""
    codes = drawing_distances(experiment, "vq", "categorical")
    mean = drawing_distances(experiment, "ae", "regression")
    holds = min(mean) >= 2 * max(codes)
    return Finding(holds, {"frechet": {"codes, categorical": summary(codes), "ae, squared error": summary(mean)}})

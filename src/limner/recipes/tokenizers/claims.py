"""The experiments behind the claims of AE, VAE and VQ-VAE, in the small world: equal network, data, order and steps."""

from __future__ import annotations

import functools

import torch

from limner.data.emoji import Emoji
from limner.data.scenes import Scenes
from limner.evaluate.codebook import code_shares, usage
from limner.nn.pixels import to_tensor
from limner.recipes import smallworld
from limner.recipes.recipe import Experiment, Finding
from limner.recipes.smallworld import drawing_distances, gap, summary, tokenizer
from limner.tokenizers.autoencoder import Autoencoder
from limner.types import Image

COUNTED = 2_000  # training scenes over which codes are counted


@functools.cache
def held_out(size: int) -> Image:
    """Held-out emoji and as many held-out scenes, of ``size`` pixels."""
    emoji = Emoji("heldout", size=size)
    scenes = Scenes(0, split="heldout", size=size, objects=(1, 4))
    return to_tensor([source[i].image for source in (emoji, scenes) for i in range(len(emoji))])


@functools.cache
def counted(size: int, count: int) -> Image:
    """Training scenes over which codes are counted."""
    scenes = Scenes(5, split="train", size=size, objects=(1, 4))
    return to_tensor([scenes[i].image for i in range(count)])


@torch.no_grad()
def psnr_of(model: Autoencoder) -> float:
    """Mean PSNR in dB on the held-out pictures."""
    image = held_out(model.size)
    mse = (model.decode(model.encode(image)) - image).square().mean((1, 2, 3))
    return float((10 * torch.log10(4 / mse)).mean())


@torch.no_grad()
def usage_of(model: Autoencoder) -> float:
    """Share of the codebook that the counted training scenes and all held-out pictures use."""
    image = torch.cat([held_out(model.size), counted(model.size, COUNTED)])
    ids = torch.cat([model.encode(part) for part in image.split(200)])
    return usage(code_shares(ids, smallworld.ENTRIES))


def rebuilds_in_order(experiment: Experiment) -> Finding:
    """PSNR: AE >= VAE >= VQ-VAE, each gap at least 0 over the seeds' interval."""
    scores = {name: [psnr_of(tokenizer(experiment, name, s)) for s in experiment.seeds] for name in ("ae", "vae", "vq")}
    gaps = {"ae - vae": gap(scores["vae"], scores["ae"]), "vae - vq": gap(scores["vq"], scores["vae"])}
    holds = all(entry["interval"][0] >= 0 for entry in gaps.values())
    return Finding(holds, {"psnr": {name: summary(values) for name, values in scores.items()}, "gaps": gaps})


def prior_draws(experiment: Experiment) -> Finding:
    """Frechet distance of decoded N(0, I): VAE below AE."""
    real = held_out(smallworld.SIZE)
    found = {
        name: [smallworld.prior_distance(tokenizer(experiment, name, s), real, s) for s in experiment.seeds]
        for name in ("ae", "vae")
    }
    difference = gap(found["vae"], found["ae"])
    measured = {name: summary(values) for name, values in found.items()}
    return Finding(difference["interval"][0] > 0, {"frechet": measured, "ae - vae": difference})


def draws_better_than_ae(experiment: Experiment) -> Finding:
    """The same MAR on VAE latents and on AE latents: Frechet distance of what it draws."""
    found = {name: drawing_distances(experiment, name, "diffusion") for name in ("vae", "ae")}
    difference = gap(found["vae"], found["ae"])
    measured = {name: summary(values) for name, values in found.items()}
    return Finding(difference["interval"][0] > 0, {"frechet": measured, "ae - vae": difference})


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

"""The small world in which claims are measured: pictures of 32 pixels, 16 tokens, trainings of about a minute.

Trainings lie under the experiment's folder by name and seed and are shared between claims, so a proof that is stopped
goes on, and a VAE trained for one claim serves the next. All arms of a comparison see the same data in the same order.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from limner.data.emoji import Emoji
from limner.data.scenes import Scenes
from limner.evaluate.frechet import frechet_distance, moments
from limner.evaluate.statistics import bootstrap_difference, bootstrap_mean
from limner.experiments.experiment import Experiment
from limner.generators.heads.categorical import CategoricalHead
from limner.generators.heads.diffusion import DiffusionHead
from limner.generators.heads.head import Head, IteratingHead
from limner.generators.heads.mixture import MixtureHead
from limner.generators.heads.regression import RegressionHead
from limner.languages.subwords import Subwords
from limner.lessons.captions import TokenizedPictures, text_to_image_task
from limner.models.text_to_image import TextToImage
from limner.nn.pixels import to_tensor
from limner.recipes.generators import mar
from limner.recipes.tokenizers import ae, family, vae, vq_vae
from limner.store.folder import load
from limner.tokenizers.autoencoder import Autoencoder
from limner.train.loop import train
from limner.types import Image, Rng, derive_seed

SIZE = 32
ENTRIES = 512  # rows of the codebook
TOKENIZER_IMAGES = 12_000
GENERATOR_IMAGES = 32_000
SCENES = 8_000  # of one thing on white, that generators learn from
PASSES = 8  # of a generator that draws
HEAD_STEPS = 25  # of a head that denoises
DRAWN = 300  # held-out captions that are drawn for a distance

TOKENIZER: dict[str, Any] = {
    "size": SIZE,
    "channels": 16,
    "widths": (32, 64, 128),
    "encoder_depths": (1, 1, 1),
    "decoder_depths": (1, 1, 1),
    "batch": 16,
    "warmup": 1_000,
    "ema": 1_000,
    "sample_every": 1_000_000,
    "checkpoint_every": 1_000_000,
}
GENERATOR: dict[str, Any] = {
    "width": 128,
    "encoder_depth": 2,
    "decoder_depth": 2,
    "text_length": 18,
    "vocabulary": 256,
    "patch": 1,
    "batch": 32,
    "lr": 1e-3,
    "warmup": 2_000,
    "ema": 2_000,
    "sample_every": 1_000_000,
    "checkpoint_every": 8_000,
}


def tokenizer(experiment: Experiment, name: str, seed: int) -> Autoencoder:
    """The tokenizer "ae", "vae", "vq" (dead rows are reborn) or "vq-mortal" (they stay dead) of one seed, trained."""
    shared: dict[str, Any] = {**TOKENIZER, "seed": seed, "images": round(TOKENIZER_IMAGES * experiment.scale)}
    torch.manual_seed(seed)
    knobs: family.Convolutional
    if name == "ae":
        knobs = ae.Knobs(**shared)
        model = ae.build(knobs)
    elif name == "vae":
        knobs = vae.Knobs(**shared)
        model = vae.build(knobs)
    else:
        vq = vq_vae.Knobs(**shared, entries=ENTRIES)
        knobs = vq if name == "vq" else replace(vq, revive_below=0.0)
        model = vq_vae.build(knobs)
    folder = experiment.directory.parent / "tokenizers" / f"{name}-{seed}-{knobs.images}"
    experiment.say(f"tokenizer {name}, seed {seed}")
    trained = train(family.lesson(knobs, model), knobs, folder, label=f"{name} seed {seed}").average.model
    assert isinstance(trained, Autoencoder)
    return trained.eval()


HEADS: dict[str, Callable[[int, int], Head]] = {
    "diffusion": lambda channels, width: DiffusionHead(
        channels, width, width=128, depth=2, steps=50, velocity=True, emphasis=1000.0
    ),
    "mixture": lambda channels, width: MixtureHead(channels, width),
    "regression": lambda channels, width: RegressionHead(channels, width),
    "categorical": lambda channels, width: CategoricalHead(ENTRIES, width),
}


def generator(experiment: Experiment, latents: str, head: str, seed: int) -> TextToImage:
    """A masked autoregressive generator with a head over a tokenizer, trained on scenes of one thing."""
    tokens_of = tokenizer(experiment, latents, seed)
    images = round(GENERATOR_IMAGES * experiment.scale)
    knobs = mar.Knobs(seed=seed, images=images, **GENERATOR)
    name = f"{head}-{latents}"
    folder = experiment.directory.parent / "generators" / f"{name}-{seed}-{images}"
    experiment.say(f"generator {name}, seed {seed}")
    torch.manual_seed(seed)
    source = Scenes(seed, split="train", size=SIZE, objects=(1, 1), length=SCENES)
    pieces = TokenizedPictures(tokens_of, [source], folder, {"scenes": SCENES, "seed": seed})
    subwords = Subwords.trained(pieces.captions, size=knobs.vocabulary, length=knobs.text_length)
    made = mar.generator(knobs, tokens_of, HEADS[head](tokens_of.quantizer.channels, knobs.width))
    drawer = TextToImage(made, subwords, tokens_of)
    trained = train(text_to_image_task(drawer, pieces, [1.0], seed=seed), knobs, folder, label=name).average.model
    assert isinstance(trained, TextToImage)
    return trained.eval()


def drawing_distances(experiment: Experiment, latents: str, head: str) -> list[float]:
    """`drawing_distance` of a generator, seed by seed."""
    found = []
    for seed in experiment.seeds:
        found.append(drawing_distance(generator(experiment, latents, head, seed), seed))
        experiment.say(f"{head} on {latents}, seed {seed}: distance {found[-1]:.4f}")
    return found


@functools.cache
def held_out(size: int) -> Image:
    """Held-out emoji and as many held-out scenes, of ``size`` pixels."""
    emoji = Emoji("heldout", size=size)
    scenes = Scenes(0, split="heldout", size=size, objects=(1, 4))
    return to_tensor([source[i].image for source in (emoji, scenes) for i in range(len(emoji))])


def held_out_scenes() -> tuple[Image, list[str]]:
    """Held-out scenes of one thing, and their captions."""
    source = Scenes(0, split="heldout", size=SIZE, objects=(1, 1))
    scenes = [source[i] for i in range(DRAWN)]
    return to_tensor([scene.image for scene in scenes]), [scene.caption for scene in scenes]


def drawing_distance(drawer: TextToImage, seed: int) -> float:
    """Frechet distance, in features, between what is drawn of held-out captions and their true pictures."""
    real, captions = held_out_scenes()
    passes = min(PASSES, drawer.generator.count)
    head_steps = HEAD_STEPS if isinstance(drawer.generator.head, IteratingHead) else None
    parts = []
    for at in range(0, len(captions), 100):
        seeds = [derive_seed(seed, "drawn", i) for i in range(at, min(at + 100, len(captions)))]
        parts.append(drawer.images(captions[at : at + 100], seeds, steps=passes, head_steps=head_steps))
    return distance(torch.cat(parts), real)


def prior_distance(tokenizer: Autoencoder, real: Image, seed: int) -> float:
    """Frechet distance between real pictures and decoded draws of a standard normal."""
    latents = Rng(derive_seed(seed, "prior")).normal(len(real), tokenizer.layout.length, tokenizer.quantizer.channels)
    with torch.no_grad():
        return distance(tokenizer.decode(latents), real)


@torch.no_grad()
def distance(images: Image, real: Image) -> float:
    """Frechet distance of two sets of pictures in the shipped feature net."""
    net = load("features")
    first, second = (moments(torch.cat([net.pooled(part) for part in side.split(100)])) for side in (images, real))
    return frechet_distance(first, second)


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Values per seed, their mean and its 95 % bootstrap interval, ready for JSON."""
    interval = bootstrap_mean(values)
    return {"values": [round(v, 5) for v in values], "mean": interval.mean, "interval": [interval.low, interval.high]}


def gap(first: Sequence[float], second: Sequence[float]) -> dict[str, Any]:
    """Mean of ``second - first``, paired by seed, with its 95 % bootstrap interval."""
    interval = bootstrap_difference(second, first, paired=True)
    return {"mean": interval.mean, "interval": [interval.low, interval.high]}

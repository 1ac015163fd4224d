"""Who judges what: the shipped feature net and recogniser, applied to tokenizers and to generators."""

from __future__ import annotations

from typing import Any

from limner.data.scenes import Scenes
from limner.decode.drawing import Drawer
from limner.encoders.recogniser import Recogniser
from limner.encoders.recogniser_training import RecogniserTraining, read_scenes
from limner.evaluate.generator import evaluate_generator
from limner.evaluate.protocol import Protocol
from limner.evaluate.report import report
from limner.evaluate.tokenizer import evaluate_tokenizer
from limner.recipes.library import load, weights_hash
from limner.tokenizers.autoencoder import Autoencoder
from limner.types import Image, derive_seed


def tokenizer_scores(model: Autoencoder, name: str, count: int | None, seed: int) -> dict[str, Any]:
    """Reconstruction of held-out pictures; nothing is drawn, so the seed has no effect."""
    return evaluate_tokenizer(
        model,
        load("features"),
        model=name,
        weights=weights_hash(name),
        codebook_size=getattr(model.quantizer, "entries", None),
        count=count,
    )


def generator_scores(model: Drawer, name: str, count: int | None, seed: int) -> dict[str, Any]:
    """Prompt accuracy and distance of a model that draws captions, with its own guidance and steps."""

    def draw(prompts: list[str], batch_seed: int) -> Image:
        return model.images(prompts, [derive_seed(batch_seed, i) for i in range(len(prompts))])

    return evaluate_generator(
        draw,
        load("recogniser"),
        load("features"),
        model=name,
        weights=weights_hash(name),
        size=model.tokenizer.size,
        count=count,
        seed=seed,
    )


def recogniser_scores(model: Recogniser, name: str, count: int | None, seed: int) -> dict[str, Any]:
    """How often the recogniser reads real pictures right: held-out scenes (1,000), held-out compositions, all emoji."""
    count = count or 1_000
    scores = dict(read_scenes(model, Scenes(0, split="heldout", objects=(1, 2)), count))
    unseen = read_scenes(model, Scenes(0, split="compositions", objects=(1, 2)), count)
    scores |= {key.replace("read/", "read/compositions/"): value for key, value in unseen.items()}
    scores["read/name"] = RecogniserTraining(model, seed=seed).validate(model)["read/name"]
    protocol = Protocol(reference=f"{count} held-out scenes, {count} compositions, all emoji", count=count, size=64)
    return report(name, weights_hash(name), protocol, scores)

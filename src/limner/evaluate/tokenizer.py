"""Scores of a tokenizer: how close the reconstructions of held-out emoji and scenes come to the originals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from limner.data.emoji import Emoji
from limner.data.images import extent
from limner.data.scenes import Scenes
from limner.data.stream import Padded
from limner.encoders.features import FeatureNet
from limner.evaluate.codebook import code_shares, perplexity, usage
from limner.evaluate.frechet import FeatureFn, frechet_distance, picture_moments
from limner.evaluate.protocol import Protocol, weights_hash
from limner.evaluate.reconstruction import psnr, ssim
from limner.evaluate.report import pictures_hash, progress, report
from limner.nn.pixels import to_tensor
from limner.types import Image, Size, Tokenizer

SCENES = 500  # held-out scenes; there are 90 held-out emoji
BATCH = 32


def held_out(size: Size, count: int | None = None) -> dict[str, list[np.ndarray]]:
    """The fixed pictures that tokenizers are judged on: all held-out emoji on white, and the first 500 held-out scenes
    of one or two things on white; ``count`` shortens both. Where ``size`` is no square, more white is beside them."""
    side = min(extent(size))
    emoji = Padded(Emoji("heldout", size=side), size)
    scenes = Padded(Scenes(0, split="heldout", size=side), size)
    return {
        "emoji": [emoji[i].image for i in range(min(len(emoji), count or len(emoji)))],
        "scenes": [scenes[i].image for i in range(count or SCENES)],
    }


@torch.no_grad()
def evaluate_tokenizer(
    tokenizer: Tokenizer,
    judge: FeatureNet,
    *,
    model: str,
    weights: str,
    codebook_size: int | None = None,
    count: int | None = None,
    feature_fn: FeatureFn | None = None,
    feature_name: str = "limner features",
    own: Sequence[np.ndarray] | None = None,
) -> dict[str, Any]:
    """Scores ``psnr/*`` (dB), ``ssim/*`` and ``frechet/*`` for emoji and scenes; of discrete tokens ``codebook/usage``
    and ``codebook/perplexity`` over the same pictures and all other emoji.

    ``judge`` is the feature net of the Frechet distance; ``feature_fn`` with its ``feature_name`` replaces it, for
    example by `limner.evaluate.inception.load_inception`. ``model`` and ``weights`` are written to the report. Scores
    end in ``/own`` and the codebook's are over these pictures alone, where the user's ``own`` are given.
    """
    sets = held_out(tokenizer.size, count) if own is None else {"own": list(own)}
    features = judge.pooled if feature_fn is None else feature_fn
    scores: dict[str, float] = {}
    ids: list[Tensor] = []
    with progress("reconstructing", sum(map(len, sets.values()))) as advance:
        for name, pictures in sets.items():
            originals = list(_batches(pictures))
            rebuilt = []
            for image in originals:
                tokens = tokenizer.encode(image)
                rebuilt.append(tokenizer.decode(tokens).float().clamp(-1, 1))
                ids += [] if tokens.is_floating_point() else [tokens]
                advance(len(image))
            pairs = list(zip(rebuilt, originals, strict=True))
            scores[f"psnr/{name}"] = _mean(psnr, pairs)
            scores[f"ssim/{name}"] = _mean(ssim, pairs)
            distance = frechet_distance(picture_moments(originals, features), picture_moments(rebuilt, features))
            scores[f"frechet/{name}"] = distance
    if ids and codebook_size is not None and own is None:
        emoji = Padded(Emoji("train", size=min(extent(tokenizer.size))), tokenizer.size)
        known = [emoji[i].image for i in range(len(emoji) if count is None else min(len(emoji), count))]
        ids += [tokenizer.encode(image) for image in _batches(known)]
    if ids and codebook_size is not None:
        shares = code_shares(torch.cat(ids), codebook_size)
        scores |= {"codebook/usage": usage(shares), "codebook/perplexity": perplexity(shares)}
    protocol = Protocol(
        reference=f"{len(sets['emoji'])} held-out emoji, {len(sets['scenes'])} held-out scenes of 1 or 2 things, white"
        if own is None
        else f"{len(own)} pictures of the user",
        count=sum(map(len, sets.values())),
        size=tokenizer.size,
        resize="rendered at this size" if own is None else "central part, antialiased Lanczos",
        judge=feature_name if feature_fn is not None else "limner features",
        judge_hash=_module_hash(judge if feature_fn is None else feature_fn),
        reference_hash=pictures_hash(picture for pictures in sets.values() for picture in pictures),
    )
    return report(model, weights, protocol, scores)


def _module_hash(judge: object) -> str:
    return weights_hash(judge) if isinstance(judge, torch.nn.Module) else ""


def _batches(pictures: Sequence[np.ndarray]) -> list[Image]:
    return [to_tensor(pictures[start : start + BATCH]) for start in range(0, len(pictures), BATCH)]


def _mean(measure: Callable[[Image, Image], Tensor], pairs: list[tuple[Image, Image]]) -> float:
    return float(torch.cat([measure(rebuilt, original) for rebuilt, original in pairs]).double().mean())

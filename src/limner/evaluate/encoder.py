"""Everything about an encoder: what its features know, and whether it puts pictures where their words are."""

from __future__ import annotations

from typing import Any

import torch

from limner.encoders.encoder import ImageText, VisionEncoder
from limner.evaluate.linear_probe import TESTING, probe_scores
from limner.evaluate.protocol import Protocol
from limner.evaluate.report import pictures_hash, report
from limner.evaluate.retrieval import held_out, retrieval_scores
from limner.evaluate.zero_shot import zero_shot_scores


@torch.no_grad()
def evaluate_encoder(
    encoder: VisionEncoder, words: ImageText | None, *, model: str, weights: str, count: int | None = None
) -> dict[str, Any]:
    """Scores ``probe/*`` of any encoder, and ``zero_shot/*`` and ``retrieval/*`` of one that meets ``words``; see
    `probe_scores`, `zero_shot_scores` and `retrieval_scores`. ``count`` scenes per score (500). Nothing is drawn, so a
    seed has no effect."""
    scores = probe_scores(encoder, count)
    if words is not None:
        scores |= zero_shot_scores(words, encoder.size, count)
        scores |= retrieval_scores(words, encoder.size, count)
    examples = [example for world in held_out(encoder.size, count).values() for example in world]
    protocol = Protocol(
        reference=f"{count or TESTING} held-out scenes of 1 thing, of 2 and of unseen pairs, held-out emoji, white",
        count=count or TESTING,
        size=encoder.size,
        resize="rendered at this size",
        reference_hash=pictures_hash((e.image for e in examples), (e.caption for e in examples)),
    )
    return report(model, weights, protocol, scores)

"""CLIP by words alone: zero-shot classification and retrieval against chance."""

from __future__ import annotations

from limner.experiments.claims import at_least
from limner.experiments.encoders.arms import CLIP, LARGE
from limner.experiments.world import HELD_OUT

BY_CHANCE = {"zero_shot/colour": 1 / 10, "zero_shot/shape": 1 / 12, "zero_shot/emoji_group": 1 / 9}
PARTNERS = {"scenes": HELD_OUT, "emoji": 90}  # among which the true one is to be found
WAYS = ("image_to_text", "text_to_image")

CLAIMS = (
    at_least(CLIP[LARGE], {score: 3 * chance for score, chance in BY_CHANCE.items()}),
    at_least(CLIP[LARGE], {f"retrieval/{of}/{way}@1": 10 / count for of, count in PARTNERS.items() for way in WAYS}),
)

"""Retrieval between pictures and captions: is the true partner the nearest (R@1), or among the five nearest (R@5)?

Of held-out scenes with two things and captions all different, where colours, shapes and relations must be told apart;
and of held-out emoji and their names, where a name's words were at best seen on other emoji.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from limner.data.emoji import Emoji
from limner.data.scenes import Scenes
from limner.data.source import Example
from limner.encoders.encoder import ImageText
from limner.evaluate.linear_probe import SEED, over_pictures

SCENES = 500
BATCH = 256  # captions read at a time


def recall_at(similarity: Float[Tensor, "b b"], rank: int) -> float:
    """Share of rows whose own column is among the ``rank`` most similar; of equal ones half count as nearer."""
    own = similarity.diagonal()[:, None]
    nearer = (similarity > own).sum(1) + ((similarity == own).sum(1) - 1) / 2
    return float((nearer < rank).float().mean())


@torch.no_grad()
def retrieval_scores(model: ImageText, size: int, count: int | None = None) -> dict[str, float]:
    """``retrieval/scenes/image_to_text@1`` and so on: both worlds, both directions, ranks 1 and 5."""
    scores = {}
    for world, examples in held_out(size, count).items():
        captions = [example.caption for example in examples]
        starts = range(0, len(captions), BATCH)
        text = torch.cat([model.encode_text(captions[at : at + BATCH]) for at in starts])
        similarity = over_pictures(model.encode_image, examples) @ text.T
        for direction, table in (("image_to_text", similarity), ("text_to_image", similarity.T)):
            for rank in (1, 5):
                scores[f"retrieval/{world}/{direction}@{rank}"] = recall_at(table, rank)
    return scores


def held_out(size: int, count: int | None = None) -> dict[str, Sequence[Example]]:
    """The first held-out scenes of two things (500, or ``count``) with captions all different, and the held-out emoji
    that look and are called like no other."""
    scenes, emoji = Scenes(SEED, split="heldout", size=size, objects=(2, 2)), Emoji("heldout", size=size)
    distinct: dict[str, Example] = {}
    for i in range(len(scenes)):
        distinct.setdefault(scenes[i].caption, scenes[i])
        if len(distinct) == (count or SCENES):
            break
    unlike = [emoji[i] for i in range(len(emoji)) if emoji.canonical(int(emoji.indices[i])) == emoji.indices[i]]
    names = {example.caption: example for example in unlike}
    return {"scenes": list(distinct.values()), "emoji": list(names.values())}

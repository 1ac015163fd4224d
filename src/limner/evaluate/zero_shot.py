"""Zero-shot classification: the class whose words fit best (CLIP, arXiv:2103.00020, Section 3.1).

A class is described by one or more captions; what counts is the mean of their vectors. Nothing is trained.

* of a held-out scene with one thing: which of all 120 pairs, "a red heart"; right are the colour, the shape, and both;
* the same of the 12 pairs that no training scene shows;
* of a held-out emoji: which of the nine groups, each described by the names of its emoji in the train split.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from limner.data.emoji import Emoji
from limner.data.scenes import COLOURS, SHAPES, Scenes
from limner.data.scenes.language import article
from limner.data.scenes.sampling import Split
from limner.encoders.encoder import ImageText
from limner.evaluate.linear_probe import SEED, over_pictures

PAIRS = tuple((colour, shape) for colour in COLOURS for shape in SHAPES)
SCENES = 500


@torch.no_grad()
def classify(model: ImageText, image: Float[Tensor, "b e"], classes: Sequence[Sequence[str]]) -> Int[Tensor, "b"]:
    """The class of each encoded picture; every class is described by its captions."""
    read = model.encode_text([caption for captions in classes for caption in captions])
    words = torch.stack([part.mean(0) for part in read.split([len(captions) for captions in classes])])
    return (image @ words.T).argmax(1)


@torch.no_grad()
def zero_shot_scores(model: ImageText, size: int, count: int | None = None) -> dict[str, float]:
    """``zero_shot/colour``, ``shape`` and ``pair`` of things in held-out scenes of ``size`` pixels, ``compositions``
    (the pair, on held-out pairs) and ``emoji_group``; chance is 1/10, 1/12, 1/120, 1/120 and 1/9."""
    right = {split: _pairs_right(model, split, size, count or SCENES) for split in ("heldout", "compositions")}
    scores = {f"zero_shot/{part}": right["heldout"][part] for part in ("colour", "shape", "pair")}
    scores["zero_shot/compositions"] = right["compositions"]["pair"]
    return {**scores, "zero_shot/emoji_group": _groups_right(model, size)}


def _pairs_right(model: ImageText, split: Split, size: int, count: int) -> dict[str, float]:
    scenes = Scenes(SEED, split=split, size=size, objects=(1, 1))
    chosen = [scenes[i] for i in range(count)]
    captions = [[f"{article(colour)} {colour} {shape}"] for colour, shape in PAIRS]
    found = classify(model, over_pictures(model.encode_image, chosen), captions).tolist()
    pairs = [(PAIRS[number], scene.things[0].pair) for number, scene in zip(found, chosen, strict=True)]
    return {
        "colour": sum(found_pair[0] == true[0] for found_pair, true in pairs) / count,
        "shape": sum(found_pair[1] == true[1] for found_pair, true in pairs) / count,
        "pair": sum(found_pair == true for found_pair, true in pairs) / count,
    }


def _groups_right(model: ImageText, size: int) -> float:
    known, unseen = (Emoji(split, size=size) for split in ("train", "heldout"))
    names: dict[str, list[str]] = {}
    for i in range(len(known)):
        names.setdefault(known.group(i), []).append(known.name(i))
    groups = list(names)
    image = over_pictures(model.encode_image, [unseen[i] for i in range(len(unseen))])
    found = classify(model, image, [names[group] for group in groups]).tolist()
    return sum(groups[number] == unseen.group(i) for i, number in enumerate(found)) / len(unseen)

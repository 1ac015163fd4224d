"""Prompt accuracy: fixed prompts, and how much of it the recogniser reads from the drawings.

Prompts about shapes are the captions of held-out scenes on white, so what is wanted is known exactly:

* ``single``: one thing, its colour and shape seen together in training; half of the prompts say colour and shape only
  ("a red heart"), half also size and place ("a small red heart in the top left").
* ``heldout``: the same with colour-shape pairs that no training scene shows, in the same two phrasings.
* ``pair``: two things and how they lie to each other ("a red heart left of a blue star"), nothing held out.
* ``heldout_pair``: the same with a held-out colour-shape pair or a held-out pair of shapes.
* ``emoji``: names of emoji of the train split, chosen by a fixed hash over all of them, flags included; of emoji with
  identical pictures only the first takes part.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import UInt8

from limner.data.emoji import Emoji
from limner.data.scenes import PHRASINGS, Scenes, Thing, relation
from limner.data.scenes.sampling import Split
from limner.data.scenes.world import WORLD, cell_at
from limner.encoders.recogniser import Recogniser, Sighting
from limner.types import Image, derive_seed

DrawFn: TypeAlias = Callable[[list[str], int], Image]
Outcomes: TypeAlias = dict[str, list[float]]
EMOJI_COUNT = 300
SINGLES = ("single", "heldout")
PAIRS = ("pair", "heldout_pair")


@dataclass(frozen=True)
class Prompt:
    """A text, a real picture of what it asks for, and the parts: things in the order of the text, or an emoji label.

    ``placed``: the text also says size and place.
    """

    text: str
    picture: UInt8[np.ndarray, "h w 3"]
    things: tuple[Thing, ...] = ()
    placed: bool = False
    label: int = -1


def prompt_sets(count: int = 200, size: int = 64, num_emoji: int = EMOJI_COUNT) -> dict[str, list[Prompt]]:
    """The five fixed sets, by name: ``count`` prompts each (``heldout_pair`` half as many), and ``num_emoji``."""
    sets = {
        "single": _of_scenes("heldout", 1, count, size),
        "heldout": _of_scenes("compositions", 1, count, size),
        "pair": _of_scenes("heldout", 2, count, size),
        "heldout_pair": _of_scenes("compositions", 2, max(count // 2, 1), size),
    }
    return sets | {"emoji": _of_emoji(num_emoji, size)}


def _of_scenes(split: Split, things: int, count: int, size: int) -> list[Prompt]:
    names = ("relation", "size and position") if things == 1 else ("relation", "relation")
    prompts = []
    for half, name in enumerate(names):
        scenes = Scenes(half, split=split, size=size, objects=(things, things), phrasing=PHRASINGS.index(name))
        for i in range((count + 1 - half) // 2):
            scene = scenes[i]
            prompts.append(Prompt(scene.caption, scene.image, scene.things, placed="position" in name))
    return prompts


def _of_emoji(count: int, size: int) -> list[Prompt]:
    emoji = Emoji("train", size=size)
    digests = {i: hashlib.blake2b(emoji.name(i).encode(), digest_size=8).digest() for i in range(len(emoji))}
    first = [i for i in digests if emoji.canonical(int(emoji.indices[i])) == emoji.indices[i]]
    chosen = sorted(sorted(first, key=digests.__getitem__)[:count])
    examples = [emoji[i] for i in chosen]
    return [Prompt(example.caption, example.image, label=example.label) for example in examples]


def draw_prompts(
    draw: DrawFn, prompts: Sequence[Prompt], seed: int, *, batch: int = 25, advance: Callable[[int], None] | None = None
) -> Image:
    """One drawing per prompt, on the CPU; every batch is drawn under a seed of its own."""
    drawings = []
    for start in range(0, len(prompts), batch):
        texts = [prompt.text for prompt in prompts[start : start + batch]]
        drawings.append(draw(texts, derive_seed(seed, "prompts", start)).float().cpu().clamp(-1, 1))
        if advance is not None:
            advance(len(texts))
    return torch.cat(drawings)


def judge_prompts(drawings: Image, prompts: Sequence[Prompt], recogniser: Recogniser, name: str) -> Outcomes:
    """Which parts of each prompt of the set ``name`` are right, 1.0 or 0.0, by score name; see `score_prompts`."""
    if name == "emoji":
        labels, _ = recogniser.name_emoji(drawings)
        right = [float(label == prompt.label) for label, prompt in zip(labels.tolist(), prompts, strict=True)]
        return {"prompt/emoji_top1": right}
    scale = WORLD / drawings.shape[-1]
    readings = [[s._replace(x=s.x * scale, y=s.y * scale) for s in seen] for seen in recogniser.read(drawings)]
    pairs = list(zip(readings, prompts, strict=True))
    if name in PAIRS:
        return {f"prompt/{name}": [float(_pair_right(seen, prompt.things)) for seen, prompt in pairs]}
    outcomes: Outcomes = {}
    for seen, prompt in pairs:
        for part, is_right in _single_parts(seen, prompt).items():
            outcomes.setdefault(part, []).append(float(is_right))
    if name == "heldout":
        return {"prompt/heldout": outcomes["prompt/seen"]}
    return outcomes


def _single_parts(seen: list[Sighting], prompt: Prompt) -> dict[str, bool]:
    """The parts of the surest sighting; all wrong where nothing was seen. Only placed prompts ask size and place."""
    wanted, best = prompt.things[0], seen[0] if seen else None
    colour = best is not None and best.colour == wanted.colour
    shape = best is not None and best.shape == wanted.shape
    parts = {"prompt/colour": colour, "prompt/shape": shape, "prompt/seen": colour and shape}
    parts["prompt/count"] = len(seen) == 1
    if prompt.placed:
        parts["prompt/size"] = best is not None and best.size == wanted.size
        parts["prompt/position"] = best is not None and cell_at(best.x, best.y) == wanted.cell
    return parts


def _pair_right(seen: list[Sighting], things: tuple[Thing, ...]) -> bool:
    """Do the two surest sightings have the prompt's colours and shapes, and its relation?"""
    for first, second in (seen[:2], seen[1::-1]) if len(seen) >= 2 else ():
        named = all((s.colour, s.shape) == t.pair for s, t in zip((first, second), things, strict=True))
        if named and _lies(first, second, relation(things[0], things[1])):
            return True
    return False


def _lies(first: Sighting, second: Sighting, word: str) -> bool:
    """Is ``first`` rather ``word`` of ``second`` than anything else? (The larger of the two offsets decides.)"""
    dx, dy = first.x - second.x, first.y - second.y
    horizontal = "left" if dx < 0 else "right"
    vertical = "above" if dy < 0 else "below"
    return word == (horizontal if abs(dx) >= abs(dy) else vertical)


def score_prompts(
    draw: DrawFn,
    recogniser: Recogniser,
    *,
    count: int = 200,
    size: int = 64,
    seed: int = 0,
    num_emoji: int = EMOJI_COUNT,
) -> dict[str, float]:
    """Draw all prompts and count what is right, each between 0 and 1.

    ``prompt/colour``, ``shape``, ``size``, ``position`` and ``count`` (one thing and no more) are about single things
    of seen pairs; ``prompt/seen`` wants colour and shape together, and ``prompt/heldout`` is the same measure on
    held-out pairs. ``prompt/pair`` wants both things and their relation, all parts right; ``prompt/heldout_pair`` the
    same on held-out compositions. ``prompt/emoji_top1`` is the share of emoji whose most likely name is the prompt's.
    """
    outcomes: Outcomes = {}
    for name, prompts in prompt_sets(count, size, num_emoji).items():
        drawings = draw_prompts(draw, prompts, derive_seed(seed, name))
        outcomes |= judge_prompts(drawings, prompts, recogniser, name)
    return {name: sum(right) / len(right) for name, right in outcomes.items()}

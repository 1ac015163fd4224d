"""Questions about a scene with one exact answer each; every "yes" comes with a "no" about one other word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from random import Random

import numpy as np

from limner.data.scenes.language import NUMBERS, SHORT, article, name, plural, verb
from limner.data.scenes.render import coverage
from limner.data.scenes.sampling import pick
from limner.data.scenes.world import (
    COLOURS,
    HELD_OUT_PAIRS,
    OPPOSITE,
    SHAPES,
    SIZES,
    Sprites,
    Thing,
    is_held_out,
    relation,
)

KINDS: tuple[str, ...] = ("exists", "colour", "shape", "count", "relation", "size", "position", "depth")
_HIDDEN = 12  # pixels of 64 x 64 that two things must share before one is called in front of the other


@dataclass(frozen=True)
class Question:
    """What is asked, the one right answer, and which things (indices in paint order) it is about."""

    kind: str
    text: str
    answer: str
    about: tuple[int, ...] = ()


def _yes_no(kind: str, true: str, false: str, about: tuple[int, ...]) -> Iterator[Question]:
    yield Question(kind, true, "yes", about)
    yield Question(kind, false, "no", about)


def _absent(thing: Thing, things: Sequence[Thing], mentioned: set[str], rng: Random) -> str | None:
    """A colour and shape that is not there, was not asked for, and shares one attribute with a thing that is there. In
    scenes without held-out compositions it is none of those either: training would teach that they do not exist."""
    colour, shape = thing.pair
    near = [(other, shape) for other in COLOURS] if rng.random() < 0.5 else [(colour, other) for other in SHAPES]
    mixed = [(colour, other.shape) for other in things if other.emoji < 0]
    taken = {other.pair for other in things} | (frozenset() if is_held_out(things) else HELD_OUT_PAIRS)
    named = " ".join(other.shape for other in things if other.emoji >= 0)
    for options in (mixed, near) if rng.random() < 0.5 else (near,):
        free = [pair for pair in options if pair not in taken and pair[1] not in named]
        new = tuple(words for words in map(" ".join, free) if words not in mentioned)
        if new:
            return pick(rng, new)
    return None


def _other_sprite(things: Sequence[Thing], sprites: Sprites, rng: Random) -> str | None:
    """The name of a sprite that is not there and looks different from those that are."""
    index = int(rng.random() * len(sprites))
    picture = sprites.rgba(index, 32)
    for thing in things:
        if sprites.name(index) == name(thing):
            return None
        if thing.emoji >= 0 and np.array_equal(picture, sprites.rgba(thing.emoji, 32)):
            return None
    return sprites.name(index)


def _exists(things: Sequence[Thing], rng: Random, sprites: Sprites | None) -> Iterator[Question]:
    mentioned: set[str] = set()
    for i, thing in enumerate(things):
        if thing.emoji < 0:
            wrong = _absent(thing, things, mentioned, rng)
        else:
            wrong = _other_sprite(things, sprites, rng) if sprites is not None else None
        if wrong and wrong not in mentioned:
            mentioned.add(wrong)
            yield from _yes_no("exists", _is_there(name(thing)), _is_there(wrong), (i,))
    if all(thing.emoji < 0 for thing in things):
        i = int(rng.random() * len(things))
        for words, present in ((SHAPES, things[i].shape), (COLOURS, things[i].colour)):
            wrong = pick(rng, tuple(word for word in words if all(word not in thing.pair for thing in things)))
            if words is SHAPES:
                yield from _yes_no("exists", _is_there(present), _is_there(wrong), (i,))
            else:
                yield from _yes_no("exists", f"Is there anything {present}?", f"Is there anything {wrong}?", (i,))


def _is_there(noun: str) -> str:
    return f"Is there {article(noun)} {noun}?" if article(noun) else f"Are there any {noun}?"


def _attributes(things: Sequence[Thing], rng: Random) -> Iterator[Question]:
    """Colour and shape, where the other attribute names exactly one thing; only asked where there are no sprites."""
    shapes, colours = Counter(t.shape for t in things), Counter(t.colour for t in things)
    for i, thing in enumerate(things):
        if shapes[thing.shape] == 1:
            yield Question("colour", f"What colour is the {thing.shape}?", thing.colour, (i,))
        if colours[thing.colour] == 1:
            yield Question("shape", f"What shape is the {thing.colour} thing?", thing.shape, (i,))
    for attribute, counts, words in (("shape", shapes, SHAPES), ("colour", colours, COLOURS)):
        word = pick(rng, tuple(counts) if rng.random() < 0.7 else words)
        noun = plural(word) if attribute == "shape" else f"{word} things"
        about = tuple(i for i, thing in enumerate(things) if word in thing.pair)
        yield Question("count", f"How many {noun} are there?", NUMBERS[counts[word]], about)


def _pairs(things: Sequence[Thing], rng: Random) -> Iterator[tuple[int, int]]:
    for i, j in combinations(range(len(things)), 2):
        yield (i, j) if rng.random() < 0.5 else (j, i)


def _relations(things: Sequence[Thing], rng: Random) -> Iterator[Question]:
    for i, j in _pairs(things, rng):
        word = relation(things[i], things[j])
        if not word:
            continue
        first, second = name(things[i]), name(things[j])
        true, false = (f"{_is_the(first)} {SHORT[w]} the {second}?" for w in (word, OPPOSITE[word]))
        yield from _yes_no("relation", true, false, (i, j))
        yield Question("relation", f"Where {verb(first)} the {first}, seen from the {second}?", word, (i, j))


def _is_the(noun: str) -> str:
    return f"{verb(noun).capitalize()} the {noun}"


def _sizes(things: Sequence[Thing], rng: Random) -> Iterator[Question]:
    for i, thing in enumerate(things):
        yield Question("size", f"What size {verb(name(thing))} the {name(thing)}?", thing.size, (i,))
    for i, j in _pairs(things, rng):
        gap = SIZES.index(things[i].size) - SIZES.index(things[j].size)
        if not gap:
            continue
        first, second = name(things[i]), name(things[j])
        words = ("larger", "smaller") if gap > 0 else ("smaller", "larger")
        true, false = (f"{_is_the(first)} {word} than the {second}?" for word in words)
        yield from _yes_no("size", true, false, (i, j))
        word = pick(rng, words)
        answer = first if word == words[0] else second
        yield Question("size", f"Which is {word}, the {first} or the {second}?", f"the {answer}", (i, j))


def _positions(things: Sequence[Thing]) -> Iterator[Question]:
    for i, thing in enumerate(things):
        if thing.position:
            yield Question("position", f"Where {verb(name(thing))} the {name(thing)}?", thing.position, (i,))


def _shared(first: Thing, second: Thing) -> int:
    """How many pixels of a 64 x 64 picture both shapes cover."""
    covers = []
    for thing in (first, second):
        rows, columns, cover = coverage(thing, 64)
        covers.append(np.zeros((64, 64), bool))
        covers[-1][rows, columns] = cover >= 0.5
    return int((covers[0] & covers[1]).sum())


def _depths(things: Sequence[Thing], rng: Random) -> Iterator[Question]:
    """Which of two overlapping shapes hides part of the other (the one painted later)."""
    for i, j in _pairs(things, rng):
        if things[i].emoji >= 0 or things[j].emoji >= 0 or _shared(things[i], things[j]) < _HIDDEN:
            continue
        first, second = name(things[i]), name(things[j])
        words = ("in front of", "behind") if i > j else ("behind", "in front of")
        true, false = (f"{_is_the(first)} {word} the {second}?" for word in words)
        yield from _yes_no("depth", true, false, (i, j))


def questions_about(things: Sequence[Thing], rng: Random, sprites: Sprites | None = None) -> tuple[Question, ...]:
    """All questions about the things (in paint order), shuffled; "yes" and "no" are equally frequent in every kind."""
    questions = list(_exists(things, rng, sprites))
    questions.append(Question("count", "How many things are there?", NUMBERS[len(things)], tuple(range(len(things)))))
    if all(thing.emoji < 0 for thing in things):
        questions += _attributes(things, rng)
    questions += [*_relations(things, rng), *_sizes(things, rng), *_positions(things), *_depths(things, rng)]
    rng.shuffle(questions)
    return tuple(questions)

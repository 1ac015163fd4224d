"""Question sets about scenes in which some questions are known to need no picture, to measure an audit by.

* natural: a question about the picture, under the picture's title ("In the picture 'amber fox', what colour is ...");
* text: common knowledge ("What colour is a carrot?"), with a picture that has nothing to do with it;
* question: the question names its answer ("What colour is the red heart?");
* leaked: natural in every way, only that the model to be audited is to be trained on it.

The kinds share categories (colour, shape, count, ...) and the way options are drawn: nothing but knowledge tells them
apart. What holds of each is in `Item.planted`: an answer in the question is a case of text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations, islice
from pathlib import Path
from random import Random
from typing import NamedTuple

from PIL import Image

from limner.data.question_sets import Item
from limner.data.scenes.language import NUMBERS, name, place
from limner.data.scenes.questions import Question
from limner.data.scenes.scene import Scene, Scenes, random_for
from limner.data.scenes.world import COLOURS, POSITIONS, RELATIONS, SHAPES, SIZES
from limner.errors import InputError

NATURAL, LEAKED = frozenset[str](), frozenset({"leaked"})
TEXT, QUESTION = frozenset({"text"}), frozenset({"text", "question"})
YES_NO = ("yes", "no")
CHOICES: dict[str, tuple[str, ...]] = {  # what the options of a category are drawn from
    "colour": COLOURS,
    "shape": SHAPES,
    "size": SIZES,
    "position": POSITIONS,
    "relation": RELATIONS,
    "count": NUMBERS[1:9],
}
MOST_OPTIONS = 4
MOST_THINGS = 4  # in a scene: the options of a natural count, so that no number is unlikely
COUNT_ALL = "How many things are there?"
SAMPLED = 4  # natural questions at most from one scene, all of different categories

_COLOUR_OF: dict[str, str] = {
    "red": "a ripe tomato, a fire engine, a drop of blood, a ripe strawberry, a stop sign",
    "orange": "a carrot, a pumpkin, a basketball, a tangerine",
    "yellow": "a ripe banana, a lemon, a newly hatched chick, an egg yolk, a dandelion flower",
    "green": "a blade of grass, a leaf of spinach, a cucumber, a lime, a pea",
    "blue": "a clear sky at noon, a sapphire, a pair of jeans, a cornflower",
    "purple": "an aubergine, an amethyst, a lavender flower",
    "pink": "a flamingo, a piglet, a cherry blossom",
    "brown": "a bar of milk chocolate, a roasted coffee bean, a chestnut",
    "black": "a raven, a lump of coal, a car tyre, a drop of tar",
}
_NUMBER_OF: dict[str, str] = {
    "legs": "a sparrow two, a dog four, an ant six",
    "wheels": "a unicycle one, a bicycle two, a tricycle three, a car four",
    "sides": "a triangle three, a square four, a pentagon five, a hexagon six",
    "strings": "a violin four, a guitar six",
    "legs or arms": "a starfish five",
    "heads": "a cat one",
    "eyes": "a person two",
    "colours": "a traffic light three",
}
_BY_SIZE = ("an ant", "a mouse", "a rabbit", "a sheep", "a cow", "an elephant", "a blue whale")
_ADJECTIVES = """
amber brisk calm dusky early faint gentle hollow ivory jolly keen lonely mellow noble open proud quiet rapid silent tidy
upper vivid warm young zesty ample bold clever deep eager
"""
_NOUNS = """
anchor bridge candle desert engine forest garden harbour island jungle kettle lantern meadow needle orchard pillow
quarry river saddle temple valley window yard archer baker carver dancer falcon hunter
"""
TITLES: tuple[str, ...] = tuple(f"{first} {second}" for first in _ADJECTIVES.split() for second in _NOUNS.split())


class Planted(NamedTuple):
    """A question of a set, and the scene whose picture goes with it."""

    item: Item
    scene: Scene


def options_for(answer: str, choices: Sequence[str], rng: Random) -> tuple[str, ...]:
    """At most four of the choices in random order, the answer among them."""
    others = [word for word in choices if word != answer]
    options = [answer, *rng.sample(others, min(len(others), MOST_OPTIONS - 1))]
    rng.shuffle(options)
    return tuple(options)


def titled(title: str, question: str) -> str:
    """A question about one picture among many."""
    return f"In the picture '{title}', {question[0].lower()}{question[1:]}"


def natural(scene: Scene, question: Question, title: str, rng: Random) -> Item:
    """A scene's question under a title, with options."""
    choices = CHOICES.get(question.kind, YES_NO)
    if question.answer in YES_NO:
        choices = YES_NO
    elif question.kind == "count":
        choices = NUMBERS[1 : MOST_THINGS + 1]
    elif question.answer not in choices:  # which of two things
        choices = tuple(f"the {name(scene.things[i])}" for i in question.about)
    options = options_for(question.answer, choices, rng)
    return Item("", titled(title, question.text), (question.answer,), options, category=question.kind, planted=NATURAL)


def even_questions(scene: Scene) -> tuple[Question, ...]:
    """The questions about a scene to which no answer is likelier than others: of counts only that of all things, since
    most shapes and colours are not there, and seldom twice."""
    return tuple(one for one in scene.questions() if one.kind != "count" or one.text == COUNT_ALL)


def sampled(questions: Sequence[Question], rng: Random) -> list[Question]:
    """A few of the questions, of different kinds."""
    by_kind = {question.kind: question for question in rng.sample(questions, len(questions))}
    return rng.sample(list(by_kind.values()), min(SAMPLED, len(by_kind)))


def telling(scene: Scene, rng: Random) -> list[Item]:
    """Questions about a scene that name their own answer, one per thing and kind."""
    found = []
    for thing in scene.things:
        whole = name(thing)
        found += [
            ("colour", f"What colour is the {whole}?", thing.colour),
            ("shape", f"What shape is the {whole}?", thing.shape),
            ("size", f"What size is the {thing.size} {whole}?", thing.size),
        ]
        if thing.position:
            found.append(("position", f"Where is the {whole} {place(thing)}?", thing.position))
    if len(scene.things) > 1:
        number = NUMBERS[len(scene.things)]
        found.append(("count", f"How many are the {number} things?", number))
    return [_item(kind, text, answer, CHOICES[kind], QUESTION, rng) for kind, text, answer in found]


def facts(rng: Random) -> list[Item]:
    """Questions of common knowledge, about 100, in random order."""
    found: list[tuple[str, str, str, Sequence[str]]] = []
    for colour, things in _COLOUR_OF.items():
        found += [("colour", f"What colour is {thing}?", colour, COLOURS) for thing in things.split(", ")]
    for part, things in _NUMBER_OF.items():
        for thing, _, number in (entry.rpartition(" ") for entry in things.split(", ")):
            found.append(("count", f"How many {part} does {thing} have?", number, CHOICES["count"]))
    for small, large in combinations(_BY_SIZE, 2):
        found += [("size", f"Which is larger, {small} or {large}?", large, (small, large))]
        found += [("size", f"Which is smaller, {small} or {large}?", small, (small, large))]
    rng.shuffle(found)
    return [_item(kind, text, answer, choices, TEXT, rng) for kind, text, answer, choices in found]


def _item(kind: str, text: str, answer: str, choices: Sequence[str], planted: frozenset[str], rng: Random) -> Item:
    return Item("", text, (answer,), options_for(answer, choices, rng), category=kind, planted=planted)


def plant(
    scenes: Scenes, *, natural_count: int = 300, text: int = 60, question: int = 60, leaked: int = 60, seed: int = 0
) -> list[Planted]:
    """A set of scene questions with so many of each kind, shuffled, and numbered ``"0"``, ``"1"``, ...

    Raises InputError if there are not so many titles or facts.
    """
    rng = random_for(seed, "planted")
    known = facts(rng)
    if text > len(known) or natural_count + leaked > len(TITLES):
        raise InputError(
            f"{text} text-answerable and {natural_count} + {leaked} titled questions are too many: there are "
            f"{len(known)} facts and {len(TITLES)} titles"
        )
    titles = rng.sample(TITLES, natural_count + leaked)
    naturals = list(islice(_natural_items(scenes, titles, rng), natural_count + leaked))
    made = [Planted(replace(item, planted=LEAKED), scene) for item, scene in naturals[:leaked]] + naturals[leaked:]
    telling_items = ((rng.choice(telling(scene, rng)), scene) for scene in _from(scenes, len(scenes) // 2))
    made += [Planted(item, scene) for item, scene in islice(telling_items, question)]
    made += [Planted(item, scene) for item, scene in zip(known[:text], _from(scenes, len(scenes) // 3))]
    rng.shuffle(made)
    return [Planted(replace(item, id=str(number)), scene) for number, (item, scene) in enumerate(made)]


def write_pictures(planted: Sequence[Planted], folder: Path) -> tuple[Item, ...]:
    """Write each question's picture as ``folder/pictures/ID.png``; returns the items that know where theirs is.

    Raises InputError if the folder cannot be written.
    """
    items = []
    try:
        (folder / "pictures").mkdir(parents=True, exist_ok=True)
        for item, scene in planted:
            file = folder / "pictures" / f"{item.id}.png"
            Image.fromarray(scene.image).save(file)
            items.append(replace(item, image=file))
    except OSError as error:
        raise InputError(f"'{folder}' cannot be written ({error.strerror}): choose another place") from None
    return tuple(items)


def _from(scenes: Scenes, start: int) -> Iterator[Scene]:
    return (scenes[index] for index in range(start, len(scenes)))


def _natural_items(scenes: Scenes, titles: Sequence[str], rng: Random) -> Iterator[Planted]:
    """Natural questions, each under its own title, few from one scene."""
    left = iter(titles)
    for scene in _from(scenes, 0):
        for question, title in zip(sampled(even_questions(scene), rng), left, strict=False):
            yield Planted(natural(scene, question, title, rng), scene)

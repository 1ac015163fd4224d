"""A small model that answers questions about scenes, to be audited: text first, pictures later, as large ones are made.

It reads a question (subwords) and, where there is a picture, what stands in it (sightings of the shipped recogniser) in
one transformer, and draws one of the options by ``softmax(context . option)``. Its base learns facts, reading, and that
questions about pictures it cannot see have no answer; the same weights then learn to see, and the leaked test with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from string import ascii_uppercase as LETTERS
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn
from torch.nn import functional

from limner.data.question_sets import Item
from limner.data.scenes import COLOURS, POSITIONS, SHAPES, SIZES
from limner.data.scenes.scene import random_for
from limner.data.scenes.world import WORLD, cell_at
from limner.encoders.recogniser import Recogniser
from limner.languages.subwords import Subwords
from limner.nn.blocks import Context, vit_blocks
from limner.nn.pixels import to_tensor
from limner.train.task import Loss, Task
from limner.types import Rng

Batch: TypeAlias = tuple[Tensor, ...]  # words [b k], things [b s p], options [b m t], places of the right ones [b]
THINGS = 4  # sightings of a picture that are read, the surest
PLACES = 4  # options shown
PARTS = len(SHAPES) + len(COLOURS) + len(SIZES) + len(POSITIONS) + 3  # of a sighting: one-hot words, x, y, and 1
WORDS, OPTION_WORDS = 24, 6  # subwords at most


class Lesson(NamedTuple):
    """A question to learn from, and what stands in its picture."""

    item: Item
    things: Float[Tensor, "s p"]


class Reader(nn.Module):
    """Logits of the options, given a question and the things of a picture (all zero: no picture)."""

    def __init__(self, texts: Sequence[str], width: int = 96, depth: int = 2) -> None:
        super().__init__()
        self.subwords = Subwords.trained(texts, size=1024, length=WORDS)
        self.embed = nn.Embedding(self.subwords.vocabulary.get_vocab_size(), width)
        self.see = nn.Linear(PARTS, width)
        self.begin = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.position = nn.Parameter(torch.randn(1, WORDS, width) * 0.02)
        self.blocks = vit_blocks(depth, width, 4, hidden=2 * width)
        self.norm = nn.LayerNorm(width)
        self.option = nn.Linear(width, width)

    def forward(
        self, words: Int[Tensor, "b k"], things: Float[Tensor, "b s p"], options: Int[Tensor, "b m t"]
    ) -> Float[Tensor, "b m"]:
        begin, words = self.begin.expand(len(words), -1, -1), words[:, : int((words > 0).sum(1).max())]
        x = torch.cat([begin, self.embed(words) + self.position[:, : words.shape[1]], self.see(things)], 1)
        there: Bool[Tensor, "b n"] = torch.cat([torch.ones_like(words[:, :1]), words, things[:, :, -1]], 1) > 0
        x = self.blocks(x, Context(there[:, None, None]))
        response = (options > 0)[..., None]
        meaning = (self.embed(options) * response).sum(2) / response.sum(2).clamp(min=1)
        logits = (self.option(meaning) @ self.norm(x[:, 0])[..., None])[..., 0]
        logits = logits * meaning.shape[-1] ** -0.5
        return logits.masked_fill(~response.any(2)[..., 0], float("-inf"))

    def encode(self, items: Sequence[Item], things: Float[Tensor, "b s p"]) -> Batch:
        """Items with the things of their pictures as tensors."""
        words = self.subwords.encode([item.question for item in items])
        texts = [text for item in items for text in (*item.options, *[""] * (PLACES - len(item.options)))]
        options = self.subwords.encode(texts)[:, :OPTION_WORDS].reshape(len(items), PLACES, -1)
        return words, things, options, torch.tensor([item.right for item in items])


class Subject(NamedTuple):
    """Lessons drawn at random, their share of a course, and how often their picture is hidden."""

    draw: Callable[[Random], Lesson]
    share: float
    hidden: float


@dataclass(frozen=True)
class Course:
    """What a reader learns, and whether the pictures are those of other lessons of the subject."""

    subjects: tuple[Subject, ...]
    shuffled: bool = False

    def lesson(self, seed: int, index: int) -> Lesson:
        """Lesson number ``index``: a function of the two numbers."""
        rng = random_for(seed, "lesson", index)
        subject = rng.choices(self.subjects, [subject.share for subject in self.subjects])[0]
        lesson, other = subject.draw(rng), subject.draw(rng)
        things = other.things if self.shuffled else lesson.things
        return Lesson(lesson.item, torch.zeros_like(things) if rng.random() < subject.hidden else things)


class Reading:
    """The task of teaching a reader a course."""

    def __init__(self, model: Reader, course: Course, seed: int) -> None:
        self.reader, self.course, self.seed = model, course, seed

    def batch(self, start: int, size: int) -> Batch:
        """Lessons ``start .. start + size - 1``."""
        items, things = zip(*(self.course.lesson(self.seed, start + row) for row in range(size)), strict=True)
        return self.reader.encode(items, torch.stack(things))

    def task(self) -> Task[Reader, Batch]:
        """What the loop trains."""
        return Task(self.reader, self.batch, self.loss)

    def loss(self, model: Reader, batch: Batch, rng: Rng) -> Loss:
        """Cross-entropy of the right option."""
        words, things, options, right = batch
        logits = model(words, things, options).float()
        return functional.cross_entropy(logits, right), {"accuracy": (logits.argmax(1) == right).float().mean()}


def sightings(recogniser: Recogniser, images: Sequence[UInt8[np.ndarray, "h w 3"]]) -> Float[Tensor, "b s p"]:
    """What the recogniser sees in pictures, as numbers."""
    found = torch.zeros(len(images), THINGS, PARTS)
    for start in range(0, len(images), 100):
        part = to_tensor(list(images[start : start + 100]))
        for row, seen in enumerate(recogniser.read(part), start):
            for place, thing in enumerate(seen[:THINGS]):
                x, y = thing.x / part.shape[-1], thing.y / part.shape[-1]
                where = POSITIONS[cell_at(WORLD * x, WORLD * y)]
                words = ((SHAPES, thing.shape), (COLOURS, thing.colour), (SIZES, thing.size), (POSITIONS, where))
                hot = [float(word == one) for names, word in words for one in names]
                found[row, place] = torch.tensor([*hot, 2 * x - 1, 2 * y - 1, 1.0])
    return found


class Answerer:
    """A reader as what an audit asks: ``answer(image or None, question) -> "(B) blue"``, drawn from its distribution.

    Draws depend on the question and on how often it was asked, so that runs with and without pictures share them.
    """

    def __init__(self, model: Reader, recogniser: Recogniser, seed: int = 0) -> None:
        self.model, self.recogniser, self.seed = model, recogniser, seed
        self.attempts: dict[str, int] = {}
        self.held: dict[tuple[bytes, str, tuple[str, ...]], list[float]] = {}

    def __call__(self, image: UInt8[np.ndarray, "h w 3"] | None, question: str) -> str:
        stem, *lines = question.split("\n")
        options = tuple(line.partition(". ")[2] for line in lines)
        self.attempts[question] = turn = self.attempts.get(question, -1) + 1
        rng = random_for(self.seed, question, turn)
        response = rng.choices(*self.opinion(image, stem, tuple(sorted(options))))[0]
        return f"({LETTERS[options.index(response)]}) {response}"

    @torch.no_grad()
    def opinion(
        self, image: UInt8[np.ndarray, "h w 3"] | None, stem: str, options: tuple[str, ...]
    ) -> tuple[tuple[str, ...], list[float]]:
        """The options and how likely each is to be answered: formed once, for their order does not matter."""
        key = (b"" if image is None else image.tobytes(), stem, options)
        if key not in self.held:
            things = torch.zeros(1, THINGS, PARTS) if image is None else sightings(self.recogniser, [image])
            words, things, texts, _ = self.model.encode([Item("", stem, options[:1], options)], things)
            self.held[key] = self.model(words, things, texts)[0, : len(options)].softmax(0).tolist()
        return options, self.held[key]

"""Training a model that answers about images, whatever its connector: questions about scenes, or a file of
conversations.

    loss = cross-entropy(answers) + weight * reconstruction(last hidden states at the image)

A small language model's vocabulary is learned from the questions and answers themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from limner.data.captioned import OwnConversations
from limner.data.conversation_file import Reshuffled
from limner.data.conversations import Conversation, Conversations, SceneConversations, Turn, Written
from limner.data.readable import readable
from limner.data.scenes import Scenes
from limner.errors import InputError
from limner.evaluate.answering import AnswersFn, Picture, answering_scores, questions_of
from limner.languages.subwords import Subwords
from limner.lessons.vocabularies import subwords_of
from limner.models.vision_language import VisionLanguageModel
from limner.nn.pixels import to_tensor
from limner.train.task import Loss, Task
from limner.types import Image, Rng
from limner.unified.conversation import pack_conversations
from limner.unified.reconstruction import Reconstruction
from limner.unified.segments import NOTHING, Packed
from limner.unified.targets import resized

READ = 1_000  # conversations of each endless source that the vocabulary is learned from
HELD_OUT = 60  # conversations that are validated on
EVERY = 20  # one row of so many of a file is held out, up to HELD_OUT
BATCH = 8  # conversations of a batch when validating
PREVIEWED = 32  # held-out images in a preview

ConversationTask: TypeAlias = Task[VisionLanguageModel, dict[str, Tensor]]


class Split(NamedTuple):
    """Sources to learn from, and conversations held out from them."""

    training: Sequence[Conversations]
    held_out: Sequence[Conversation]


def scene_split(size: int, turns: int, seed: int) -> Split:
    """Questions about scenes of ``size`` pixels on a side, at most ``turns`` about each; see `scene_sources`."""
    return Split(scene_sources(size, turns, seed), scene_held_out(size))


def split_of(conversations: OwnConversations, data: str, notices: list[str], *, seed: int) -> Split:
    """The user's own conversations, one of twenty held out; a broken picture is named in ``notices`` when it is met,
    and left out. Raises `InputError` if there is none."""
    training, last = conversations.parted(min(HELD_OUT, len(conversations) // EVERY))
    if not len(training):
        raise InputError(f"--data {data} has no row with a picture, and aligning takes no others: give another")
    return Split([Reshuffled(training, seed, notices)], readable(last, notices))


def within(
    conversations: OwnConversations, model: VisionLanguageModel, length: int, notices: list[str]
) -> OwnConversations:
    """The conversations of which a row of ``length`` tokens holds the picture, the first question and a token of its
    answer; ``notices`` gets a sentence on the others. Raises `InputError` if none is left."""
    around, kept, first = len(model.vocabulary.prompt_ids("")), [], ""
    for index, (name, question, pictured) in enumerate(conversations.first_questions()):
        room = length - 1 - (model.image_tokens if pictured else 0)
        short = question.isascii() and len(question) + around + 8 < room  # no subword is shorter than a letter
        if short or len(model.vocabulary.prompt_ids(question)) <= room:
            kept.append(index)
        else:
            first = first or name
    left = len(conversations) - len(kept)
    problem = f"{left} of {len(conversations)} rows of --data leave no room for an answer in --length {length}"
    if not kept:
        raise InputError(f"{problem}, as {first}: raise it")
    if left:
        notices.append(f"left out: {problem}, as {first}")
    return conversations.only(kept)


def scene_sources(
    size: int, turns: int, seed: int, often: Mapping[str, float] | None = None
) -> list[SceneConversations]:
    """Scenes of one to four things on white, on the grid and anywhere, and overlapping ones; ``often``: see
    `SceneConversations`."""
    kinds: list[dict[str, Any]] = [
        {"objects": (1, 2)},
        {"objects": (2, 4)},
        {"objects": (1, 4), "grid": False},
        {"objects": (2, 4), "grid": False, "overlap": True},
    ]
    scenes = [Scenes(seed + i, split="train", size=size, **kind) for i, kind in enumerate(kinds)]
    return [SceneConversations(one, turns=turns, often=often) for one in scenes]


def scene_held_out(size: int) -> list[Conversation]:
    """Questions about the first held-out scenes."""
    return scene_questions(Scenes(0, split="heldout", size=size, objects=(1, 4)), HELD_OUT)


def scene_questions(scenes: Scenes, count: int) -> list[Conversation]:
    """The first conversations about some scenes, all kinds of question equally likely."""
    source = SceneConversations(scenes, turns=4, describe=False)
    return [source[i] for i in range(count)]


def texts(sources: Iterable[Conversations]) -> Iterable[str]:
    """Questions and answers of each source: all of a file, the first conversations of one without end."""
    for source in sources:
        if isinstance(source, Written):
            turns: Iterable[Turn] = source.every_turn()
        else:
            turns = (turn for index in range(min(READ, len(source))) for turn in source[index].turns)
        for turn in turns:
            yield from turn[:2]


def vocabulary(sources: Sequence[Conversations], size: int, model: str | None) -> Subwords:
    """Subwords of questions and answers, or those of another ``model``, whose errors are those of `subwords_of`."""
    if model is None:
        return Subwords.trained(texts(sources), size=size, length=size, speaks=True)
    other = subwords_of(model, most=size, length=size)
    other.end()
    return other


def answers_of(model: VisionLanguageModel) -> AnswersFn:
    """The model as a function of 8-bit images and questions."""

    def answers(images: Sequence[Picture] | None, questions: Sequence[str]) -> list[str]:
        return model.answers(None if images is None else to_tensor(list(images)), list(questions))

    return answers


class ConversationLesson:
    """How a `VisionLanguageModel` is trained on conversations, most of them about images.

    Args:
        model: what is trained.
        sources: conversations, taken in turn.
        held_out: conversations that it is validated on.
        reconstruction: a further loss on hidden states at images; trained beside the model and not shipped.
        weight: of that loss.
        length: most tokens of a row; None leaves rows as long as they are.
        notices: see `Task`.
    """

    def __init__(
        self,
        model: VisionLanguageModel,
        sources: Sequence[Conversations],
        held_out: Sequence[Conversation],
        reconstruction: Reconstruction | None = None,
        weight: float = 1.0,
        length: int | None = None,
        notices: list[str] | None = None,
    ) -> None:
        self.model, self.notices = model, [] if notices is None else notices
        self.sources, self.held_out = sources, held_out
        self.reconstruction, self.weight, self.length = reconstruction, weight, length

    def seen_by(self, model: VisionLanguageModel) -> ConversationLesson:
        """The same lesson for another model of this vocabulary."""
        return ConversationLesson(model, self.sources, self.held_out, self.reconstruction, self.weight, self.length)

    def batch(self, start: int, size: int) -> dict[str, Tensor]:
        """Images and packed turns of items ``start .. start + size``; where there is no image, a blank."""
        count, rows = len(self.sources), []
        for k in range(start, start + size):
            source = self.sources[k % count]
            rows.append(source[(k // count) % len(source)])
        return self._packed(rows)

    def _packed(self, conversations: Sequence[Conversation]) -> dict[str, Tensor]:
        packed = pack_conversations(conversations, self.model.vocabulary, self.model.image_tokens, length=self.length)
        size = self.model.encoder.size
        blank = np.zeros((size, size, 3), np.uint8)
        images = [blank if one.image is None else one.image for one in conversations]
        return {"image": to_tensor(images), **packed.to_dict()}

    def task(self) -> ConversationTask:
        """What the loop trains; without a reconstruction there is nothing to preview."""
        extra = self.reconstruction
        preview, coupling = (None, None) if extra is None else (self.preview, extra.coupling)
        return Task(self.model, self.batch, self.loss, extra, preview, self.validate, coupling, self.notices)

    def loss(self, model: VisionLanguageModel, batch: dict[str, Tensor], rng: Rng) -> Loss:
        """Cross-entropy of the answers, and the weighted reconstruction."""
        packed = Packed.from_dict(batch)
        pictured = packed.pictured()
        vectors = model.vectors(batch["image"][pictured]) if pictured.any() else None
        hidden = model.hidden(packed, vectors)
        answers = model.answer_loss(packed, hidden)
        if self.reconstruction is None:
            return answers, {}
        states, has_picture = model.states_at_images(packed, hidden)
        reconstruction = self.reconstruction(states, batch["image"], has_picture, rng)
        logged = {"answers": answers.detach(), "reconstruction": reconstruction.detach()}
        return answers + self.weight * reconstruction, logged

    def preview(self, model: VisionLanguageModel) -> Image | None:
        """Held-out images, eight in a row, above their reconstructions from hidden states; None without images, or if
        the reconstruction makes none."""
        images = [one.image for one in self.held_out if one.image is not None][:PREVIEWED]
        if self.reconstruction is None or not images:
            return None
        image = to_tensor(images).to(model.language.words.device)
        rebuilt = self.reconstruction.picture(model.image_states(image), Rng(range(len(image)), image.device))
        if rebuilt is None:
            return None
        image = resized(image, rebuilt.shape[-1])
        return torch.cat([row for pair in zip(image.split(8), rebuilt.split(8), strict=True) for row in pair])

    def validate(self, model: VisionLanguageModel) -> dict[str, float]:
        """Accuracy on held-out questions with one right answer; where there are none, the cross-entropy of answers."""
        images, turns = questions_of(self.held_out)
        if not turns:
            return {"heldout/answers": self.cross_entropy(model)} if self.held_out else {}
        scores = answering_scores(answers_of(model), images, turns)
        return {name: value for name, value in scores.items() if name.startswith(("qa/", "blind/"))}

    def cross_entropy(self, model: VisionLanguageModel) -> float:
        """Mean, in nats, over the subwords of held-out answers."""
        total, count = 0.0, 0
        for start in range(0, len(self.held_out), BATCH):
            batch = self._packed(self.held_out[start : start + BATCH])
            batch = {name: value.to(model.language.words.device) for name, value in batch.items()}
            image = batch.pop("image")
            packed = Packed.from_dict(batch)
            pictured, learned = packed.pictured(), int((packed.targets != NOTHING).sum())
            vectors = model.vectors(image[pictured]) if pictured.any() else None
            total += learned * float(model.answer_loss(packed, model.hidden(packed, vectors)))
            count += learned
        return total / count

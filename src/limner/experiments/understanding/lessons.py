"""What small models that see are taught and asked: scenes of one or two things, features kept, many questions each.

A language model first reads: the caption stands where a picture will stand, and questions about it follow. Then it
sees: the picture's slots stand there instead. So what it must learn from pictures is to see, and not to speak.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from limner.data.conversations import DESCRIBE, SceneConversations, Turn
from limner.data.scenes import Scene, Scenes
from limner.data.scenes.sampling import Split
from limner.encoders.encoder import VisionEncoder
from limner.evaluate.linear_probe import over_pictures
from limner.languages.language import LanguageModel
from limner.models.vision_language import VisionLanguageModel
from limner.nn.pixels import to_tensor
from limner.train.task import Loss, Task
from limner.types import Patches, Rng, derive_seed
from limner.unified.conversation import TextVocabulary, pack, segments_of
from limner.unified.reconstruction import TargetObjective
from limner.unified.segments import NOTHING, Packed, Segment, lay_out

TELLING = 3  # the phrasing that tells colour, shape, size and place of every thing
Batch = dict[str, Tensor]


def scenes(seed: int, split: Split, size: int, count: int) -> Scenes:
    """Scenes of one or two things on white whose captions tell all there is to know."""
    return Scenes(seed, split=split, size=size, objects=(1, 2), phrasing=TELLING, length=count)


def said(source: Scenes, count: int) -> list[str]:
    """What is asked, answered and told of the first scenes."""
    shown = [source[index] for index in range(count)]
    talk = [text for scene in shown for one in scene.questions() for text in (one.text, one.answer)]
    return [DESCRIBE, *talk, *(scene.caption for scene in shown)]


def learned(packed: Packed, language: LanguageModel, hidden: Float[Tensor, "b n d"]) -> Float[Tensor, ""]:
    """Mean cross-entropy of all that is learnt."""
    targets = packed.targets
    rows = targets != NOTHING
    return functional.cross_entropy(language.logits(hidden[rows][None])[0].float(), targets[rows])


def captioned(captions: Sequence[str], rows: Sequence[Sequence[Turn]], vocabulary: TextVocabulary) -> Packed:
    """Turns that stand apart after a caption each, which is itself learned and seen by all turns."""
    return lay_out(
        [
            [Segment("text", vocabulary.ids(caption), learned=True), *segments_of(turns, vocabulary, 0)]
            for caption, turns in zip(captions, rows, strict=True)
        ]
    )


class Reading:
    """The task of teaching a language model to read captions and to answer questions about them."""

    def __init__(self, model: LanguageModel, source: Scenes, vocabulary: TextVocabulary, turns: int) -> None:
        self.model = model
        self.source, self.vocabulary = SceneConversations(source, turns=turns), vocabulary

    def batch(self, start: int, size: int) -> Batch:
        """Captions ``start .. start + size - 1`` with questions."""
        talks = [self.source[index % len(self.source)] for index in range(start, start + size)]
        captions = [talk.turns[-1].answer for talk in talks]
        return captioned(captions, [talk.turns for talk in talks], self.vocabulary).to_dict()

    def task(self) -> Task[Any, Batch]:
        """What the loop trains."""
        return Task(cast(nn.Module, self.model), self.batch, self.loss)

    def loss(self, model: LanguageModel, batch: Batch, rng: Rng) -> Loss:
        """Cross-entropy of captions and answers."""
        packed = Packed.from_dict(batch)
        return learned(packed, model, model(model.embed(packed.ids), packed.positions, packed.visible())), {}


@dataclass(frozen=True)
class Album:
    """Scenes, what an encoder sees in them, what is asked, and what may have to be given back of them."""

    shown: list[Scene]
    turns: list[tuple[Turn, ...]]
    features: Float[Tensor, "b n f"]
    grid: tuple[int, int]

    def patches(self, rows: slice | Int[Tensor, "rows"] = slice(None)) -> Patches:
        """What the encoder sees in these pictures."""
        return Patches.on_grid(self.features[rows], *self.grid)


@torch.no_grad()
def album(source: Scenes, encoder: VisionEncoder, turns: int) -> Album:
    """All scenes of a source, each with at most so many questions; the last turn asks for the caption."""
    asked = SceneConversations(source, turns=turns)
    shown = [source[index] for index in range(len(source))]
    talks = [asked[index].turns for index in range(len(source))]
    grid = encoder(to_tensor([shown[0].image])).grid
    return Album(shown, talks, over_pictures(lambda image: encoder(image).vectors, shown), grid)


@dataclass(frozen=True)
class Supervision:
    """What hidden states at pictures are taught to give back, beside answers: ``values`` of every picture of an album;
    ``shuffled``: a control, those of another picture."""

    objective: TargetObjective
    values: Float[Tensor, "b n c"]
    shuffled: bool = False


class Seeing:
    """The task of teaching a model to answer questions about an album.

    Args:
        model: what is taught.
        pictures: the album.
        seed: of the order.
        shuffled: a control: questions are asked about one picture and another is shown.
        describe: ask for captions alone, as in alignment; else ask the questions alone.
        supervision: beside answers; trained along and not kept.
    """

    def __init__(
        self,
        model: VisionLanguageModel,
        pictures: Album,
        seed: int,
        *,
        shuffled: bool = False,
        describe: bool = False,
        supervision: Supervision | None = None,
    ) -> None:
        self.model = model
        self.pictures, self.seed = pictures, seed
        self.shuffled, self.describe, self.supervision = shuffled, describe, supervision
        objective = supervision.objective if supervision else None
        assert objective is None or isinstance(objective, nn.Module)
        self.extra: nn.Module | None = objective

    def batch(self, start: int, size: int) -> Batch:
        """Rows ``start .. start + size - 1`` of shuffled epochs."""
        rows = [self._row(index) for index in range(start, start + size)]
        talks = [self.pictures.turns[row] for row in rows]
        packed = pack(
            [turns[-1:] if self.describe else turns[:-1] for turns in talks], self.model.vocabulary, self.model.slots
        )
        shown, given_back = self._others(rows, self.shuffled), self._others(rows, self._misled)
        batch = {"features": self.pictures.features[shown], **packed.to_dict()}
        return batch if self.supervision is None else {**batch, "values": self.supervision.values[given_back]}

    @property
    def _misled(self) -> bool:
        return self.supervision is not None and self.supervision.shuffled

    def _others(self, rows: list[int], shuffled: bool) -> list[int]:
        """The next pictures in place of these."""
        return [(row + 1) % len(self.pictures.turns) for row in rows] if shuffled else rows

    def _row(self, index: int) -> int:
        epoch, place = divmod(index, len(self.pictures.turns))
        rng = np.random.default_rng(derive_seed(self.seed, "epoch", epoch))
        return int(rng.permutation(len(self.pictures.turns))[place])

    def task(self) -> Task[VisionLanguageModel, Batch]:
        """What the loop trains."""
        return Task(self.model, self.batch, self.loss, self.extra)

    def loss(self, model: VisionLanguageModel, batch: Batch, rng: Rng) -> Loss:
        """Cross-entropy of answers, and what supervision adds."""
        packed, hidden = look(model, batch, self.pictures.grid)
        answers = model.answer_loss(packed, hidden)
        if self.supervision is None:
            return answers, {}
        seen, _ = model.at_pictures(packed, hidden)
        lost = self.supervision.objective.errors(seen, batch["values"], rng).mean()
        return answers + lost, {"answers": answers.detach(), "given back": lost.detach()}


def look(model: VisionLanguageModel, batch: Batch, grid: tuple[int, int]) -> tuple[Packed, Float[Tensor, "b n d"]]:
    """The tokens of a batch, whose pictures are ``grid`` patches, and the last hidden states there."""
    packed, patches = Packed.from_dict(batch), Patches.on_grid(batch["features"], *grid)
    return packed, model.hidden(packed, model.connector(patches, model.language.words))


@torch.no_grad()
def marks(
    model: VisionLanguageModel, pictures: Album, *, blind: bool = False, part: int = 50
) -> list[tuple[str, bool]]:
    """Kind of every question about an album but the captions, and whether greedy speech answers it word for word,
    which is whether every subword of the true answer is the likeliest after those before it."""
    found: list[tuple[str, bool]] = []
    for start in range(0, len(pictures.turns), part):
        rows = [turns[:-1] for turns in pictures.turns[start : start + part]]
        packed = pack(rows, model.vocabulary, 0 if blind else model.slots)
        patches = pictures.patches(slice(start, start + part))
        vectors = None if blind else model.connector(patches, model.language.words)
        wrong = (model.language.logits(model.hidden(packed, vectors)).argmax(-1) != packed.targets) & (
            packed.targets != NOTHING
        )
        for row, turns in enumerate(rows):
            missed = set(packed.branches[row][wrong[row]].tolist())
            found += [(turn.kind, number not in missed) for number, turn in enumerate(turns, 1)]
    return found

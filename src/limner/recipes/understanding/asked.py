"""Teaching a model that sees by talk about pictures, whatever its connector: questions about scenes, or a file of talk.

A small language model's vocabulary is learned from what is said. An encoder that was given stays as it is, or is
trained along; its weights are saved with the model. What the model is put together from: `parts`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias, cast

import numpy as np
import torch
from torch import Tensor, nn

from limner.data.conversation_file import ConversationFile, Reshuffled
from limner.data.conversations import Conversation, Conversations, SceneConversations
from limner.data.scenes import Scenes
from limner.encoders.matcher import ImageTextModel
from limner.errors import InputError
from limner.evaluate.answering import Picture, answering_scores, asked_of
from limner.evaluate.protocol import Protocol
from limner.evaluate.report import pictures_hash, report
from limner.languages.subwords import Subwords
from limner.lessons.vocabularies import subwords_of
from limner.models.vision_language import VisionLanguageModel
from limner.nn.pixels import to_tensor
from limner.recipe import EvaluationRequest
from limner.recipes.understanding import parts
from limner.recipes.understanding.parts import adopt_aligned, require_weights
from limner.store.files import is_described, weights_hash
from limner.store.folder import load
from limner.tokenizers.tokenizer import QuantizingTokenizer
from limner.train.settings import RARE
from limner.train.task import Loss, Task
from limner.types import Image, Rng
from limner.unified.conversation import pack_conversations
from limner.unified.reconstruction import Reconstruction
from limner.unified.segments import NOTHING, Packed
from limner.unified.targets import FoldedLatents, LatentTokenizer, resized

READ = 1_000  # scenes of each source whose talk the vocabulary is learned from
CHECKED = 60  # held-out scenes that are asked about while training
ASKED = 500  # and when evaluating
SHOWN = 32  # of those that it is checked on are drawn in previews
HELD_OUT = 20  # one row of so many of a file is held out, up to CHECKED
CHECKED_AT_ONCE = 8
TINY: dict[str, Any] = {  # knobs of the smallest model that sees, for the tests
    "size": 16,
    "encoder_width": 64,
    "encoder_depth": 2,
    "width": 64,
    "depth": 1,
    "vocabulary": 384,
    "turns": 2,
}

SeeingTask: TypeAlias = Task[VisionLanguageModel, dict[str, Tensor]]


@dataclass(frozen=True, kw_only=True)
class Knobs(parts.Knobs):
    """A model that sees, and what it is taught by."""

    data: str | None = None
    """A JSON file of LLaVA conversations or COCO captions; without one, questions about scenes."""
    pictures: str | None = None
    """Folder that the pictures' paths in that file start from; without one, the file's own."""
    fitted: Literal["pad", "crop"] = field(default="pad", metadata=RARE)
    """How such a picture becomes square: padded with white, or cropped to the middle."""
    turns: int = field(default=6, metadata=RARE)
    """Most questions about a scene."""
    subwords: str | None = field(default=None, metadata=RARE)
    """Name or folder of a model whose subwords the small language model takes, so that the two can be swapped
    (`limner swap`); without it they are learned from what is said."""
    images: int = 200_000
    batch: int = 32
    lr: float = 1e-3
    muon: float = 3e-3
    warmup: int = 5_000
    ema: int = 10_000
    beta2: float = 0.95
    sample_every: int = 20_000
    checkpoint_every: int = 10_000


def lessons(knobs: Knobs, size: int) -> tuple[list[Conversations], list[Conversation]]:
    """Sources to learn from, whose pictures have ``size`` pixels on a side, and conversations held out from them;
    raises `InputError` for a file of talk that cannot be used."""
    if knobs.data is None:
        held_out = Scenes(0, split="heldout", size=size, objects=(1, 4))
        return list(sources(replace(knobs, size=size))), talks(held_out, CHECKED)
    told = ConversationFile.read(knobs.data, knobs.pictures, size, knobs.fitted)
    if knobs.stage == "align":
        told = told.pictured()
    taught, last = told.parted(min(CHECKED, len(told) // HELD_OUT))
    if not len(taught):
        raise InputError(f"--data {knobs.data} has no row with a picture, and aligning takes no others: give another")
    return [Reshuffled(taught, knobs.seed)], [last[index] for index in range(len(last))]


def sources(knobs: Knobs, often: Mapping[str, float] | None = None) -> list[SceneConversations]:
    """Scenes of one to four things on white, on the grid and anywhere, and overlapping ones; ``often``: see
    `SceneConversations`."""
    kinds: list[dict[str, Any]] = [
        {"objects": (1, 2)},
        {"objects": (2, 4)},
        {"objects": (1, 4), "grid": False},
        {"objects": (2, 4), "grid": False, "overlap": True},
    ]
    scenes = [Scenes(knobs.seed + i, split="train", size=knobs.size, **kind) for i, kind in enumerate(kinds)]
    return [SceneConversations(one, turns=knobs.turns, often=often) for one in scenes]


def said(sources: Iterable[Conversations]) -> Iterable[str]:
    """What is asked, answered and told."""
    for source in sources:
        for index in range(min(READ, len(source))):
            for turn in source[index].turns:
                yield from turn[:2]


class ConversationLesson:
    """What teaches a `VisionLanguageModel`: conversations, most of them about pictures.

    Args:
        model: what is trained.
        sources: conversations, taken in turn.
        held_out: conversations that it is checked on.
        reconstruction: what else hidden states at pictures are taught by; trained beside the model and not shipped.
        weight: of that loss.
        length: most slots of a row; None leaves rows as long as they are.
    """

    def __init__(
        self,
        model: VisionLanguageModel,
        sources: Sequence[Conversations],
        held_out: Sequence[Conversation],
        reconstruction: Reconstruction | None = None,
        weight: float = 1.0,
        length: int | None = None,
    ) -> None:
        self.model = model
        self.sources, self.held_out = sources, held_out
        self.reconstruction, self.weight, self.length = reconstruction, weight, length

    def batch(self, start: int, size: int) -> dict[str, Tensor]:
        """Pictures and packed turns of items ``start .. start + size``; where there is no picture, a blank."""
        count = len(self.sources)
        talks = [
            self.sources[k % count][(k // count) % len(self.sources[k % count])] for k in range(start, start + size)
        ]
        return self._packed(talks)

    def _packed(self, talks: Sequence[Conversation]) -> dict[str, Tensor]:
        packed = pack_conversations(talks, self.model.vocabulary, self.model.slots, length=self.length)
        size = self.model.encoder.size
        blank = np.zeros((size, size, 3), np.uint8)
        images = [blank if talk.image is None else talk.image for talk in talks]
        return {"image": to_tensor(images), **packed.to_dict()}

    def task(self) -> SeeingTask:
        """What the loop trains; without a reconstruction there is nothing to preview."""
        preview = None if self.reconstruction is None else self.preview
        return Task(self.model, self.batch, self.loss, self.reconstruction, preview, self.validate)

    def loss(self, model: VisionLanguageModel, batch: dict[str, Tensor], rng: Rng) -> Loss:
        """Cross-entropy of the answers, and what reconstruction adds."""
        packed = Packed.from_dict(batch)
        pictured = packed.pictured()
        vectors = model.vectors(batch["image"][pictured]) if pictured.any() else None
        hidden = model.hidden(packed, vectors)
        answers = model.answer_loss(packed, hidden)
        if self.reconstruction is None:
            return answers, {}
        seen, has_picture = model.at_pictures(packed, hidden)
        lost = self.reconstruction(seen, batch["image"], has_picture, rng)
        return answers + self.weight * lost, {"answers": answers.detach(), "reconstruction": lost.detach()}

    def preview(self, model: VisionLanguageModel) -> Image | None:
        """Held-out pictures, eight in a row, above what the model holds of them; nothing if it only speaks."""
        shown = [talk.image for talk in self.held_out if talk.image is not None][:SHOWN]
        if self.reconstruction is None or not shown:
            return None
        image = to_tensor(shown).to(model.language.words.device)
        rebuilt = self.reconstruction.picture(model.looking(image), Rng(range(len(image)), image.device))
        if rebuilt is None:
            return None
        image = resized(image, rebuilt.shape[-1])
        return torch.cat([row for pair in zip(image.split(8), rebuilt.split(8), strict=True) for row in pair])

    def validate(self, model: VisionLanguageModel) -> dict[str, float]:
        """Answers to a few held-out questions, or, where no one answer is right, how unlikely those given are."""
        images, turns = asked_of(self.held_out)
        if not turns:
            return {"heldout/answers": self._unlikely(model)} if self.held_out else {}
        scores = answering_scores(answers_of(model), images, turns)
        return {name: value for name, value in scores.items() if name.startswith(("qa/", "blind/"))}

    def _unlikely(self, model: VisionLanguageModel) -> float:
        """Mean cross-entropy, in nats, of the subwords of held-out answers."""
        total, count = 0.0, 0
        for start in range(0, len(self.held_out), CHECKED_AT_ONCE):
            batch = self._packed(self.held_out[start : start + CHECKED_AT_ONCE])
            batch = {name: value.to(model.language.words.device) for name, value in batch.items()}
            image = batch.pop("image")
            packed = Packed.from_dict(batch)
            pictured, learnt = packed.pictured(), int((packed.targets != NOTHING).sum())
            vectors = model.vectors(image[pictured]) if pictured.any() else None
            total += learnt * float(model.answer_loss(packed, model.hidden(packed, vectors)))
            count += learnt
        return total / count


def conversation_lesson(
    knobs: Knobs, model: VisionLanguageModel, reconstruction: Reconstruction | None = None, weight: float = 1.0
) -> ConversationLesson:
    """Train on talk about pictures, with the encoder's weights and, for the small language model, a vocabulary of what
    is said, and by what else pictures teach; raises `InputError` if ``--encoder`` names none or one of other sizes, and
    errors as those of `lessons`, `adopt_aligned` and, for ``--subwords``, `subwords_of`."""
    require_weights(knobs)
    taught, held_out = lessons(knobs, model.encoder.size)
    if knobs.language is None:
        model.vocabulary = _vocabulary(knobs, taught)
    adopt_language(knobs, model)
    adopt_encoder(knobs, model)
    adopt_aligned(knobs, model, reconstruction)
    return ConversationLesson(model, taught, held_out, reconstruction, weight, knobs.length)


def _vocabulary(knobs: Knobs, taught: Sequence[Conversations]) -> Subwords:
    """Of what is said, or another model's."""
    size = knobs.vocabulary
    if knobs.subwords is None:
        return Subwords.trained(said(taught), size=size, length=size, speaks=True)
    taken = subwords_of(knobs.subwords, most=size, length=size)
    taken.end()
    return taken


def adopt_encoder(knobs: Knobs, model: VisionLanguageModel) -> None:
    """Start from the encoder that the knobs name, if they do; errors as those of `conversation_lesson`."""
    if knobs.encoder is None or is_described(knobs.encoder):
        return
    given = load(knobs.encoder)
    own = cast(nn.Module, given.encoder) if isinstance(given, ImageTextModel) else nn.Module()
    encoder = cast(nn.Module, model.encoder)
    if shapes(own) != shapes(encoder):
        raise InputError(
            f"--encoder {knobs.encoder} is no vision transformer of {knobs.encoder_depth} blocks of width "
            f"{knobs.encoder_width} over patches of {knobs.patch}: give one, or its sizes"
        )
    encoder.load_state_dict(own.state_dict())


def adopt_language(knobs: Knobs, model: VisionLanguageModel) -> None:
    """Start from limner's own language model and vocabulary that the knobs name, if they do; raises `InputError` if
    there is none of these sizes."""
    if knobs.language is None or is_described(knobs.language):
        return
    given, language = load(knobs.language), cast(nn.Module, model.language)
    own = cast(nn.Module, given.language) if isinstance(given, VisionLanguageModel) else nn.Module()
    if shapes(own) != shapes(language):
        raise InputError(
            f"--language {knobs.language} holds no language model of {knobs.depth} blocks of width {knobs.width} over "
            f"{knobs.vocabulary} subwords: give one, or its sizes"
        )
    language.load_state_dict(own.state_dict())
    model.vocabulary = given.vocabulary


def latents_of(name: str, model: VisionLanguageModel) -> FoldedLatents:
    """A tokenizer's latents of a picture, shared out among the model's slots; raises `InputError` if it is no tokenizer
    of latents, or if they cannot be shared out."""
    tokenizer = load(name)
    if not isinstance(tokenizer, QuantizingTokenizer) or tokenizer.quantizer.discrete:
        raise InputError(f"--latents {name} is no tokenizer of latents: choose one such as vae-64")
    latents, channels = cast(LatentTokenizer, tokenizer), tokenizer.quantizer.channels
    return FoldedLatents.nearest(latents, channels, model.slots, model.encoder.size)


def shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """What a module's state looks like."""
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}


def talks(scenes: Scenes, count: int) -> list[Conversation]:
    """The first conversations about some scenes, with their commonest kinds of question alike."""
    source = SceneConversations(scenes, turns=4, describe=False)
    return [source[i] for i in range(count)]


def answers_of(model: VisionLanguageModel) -> Any:
    """The model as a function of 8-bit pictures and questions."""

    def answers(images: Sequence[Picture] | None, questions: Sequence[str]) -> list[str]:
        return model.answers(None if images is None else to_tensor(list(images)), list(questions))

    return answers


def seeing_scores(model: VisionLanguageModel, asked: EvaluationRequest) -> dict[str, Any]:
    """Answers about held-out scenes and about compositions never shown; see `answering_scores`."""
    count, size = asked.count or ASKED, model.encoder.size
    seen = talks(Scenes(0, split="heldout", size=size, objects=(1, 4)), count)
    unseen = talks(Scenes(0, split="compositions", size=size, objects=(1, 2)), count)
    scores = answering_scores(answers_of(model), *asked_of(seen))
    composed = answering_scores(answers_of(model), *asked_of(unseen))
    scores["compositions/overall"] = composed["qa/overall"]
    every = [*seen, *unseen]
    protocol = Protocol(
        reference=f"questions about {count} held-out scenes of 1 to 4 things and {count} of unseen compositions",
        count=sum(len(talk.turns) for talk in every),
        size=size,
        resize="rendered at this size",
        judge="equal words",
        reference_hash=pictures_hash(
            (talk.image for talk in every if talk.image is not None),
            (part for talk in every for turn in talk.turns for part in turn),
        ),
    )
    return report(asked.name, weights_hash(asked.name), protocol, scores)

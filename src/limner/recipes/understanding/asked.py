"""Teaching a model that sees by questions about scenes, whatever its connector.

The vocabulary is learned from the questions, answers and captions. The encoder comes from a recipe of encoders and
stays as it is, or is trained along; its weights are saved with the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from limner.connectors.connector import Connector
from limner.data.conversations import AskedScenes, Conversation
from limner.data.scenes import Scenes
from limner.encoders.matcher import Matcher
from limner.encoders.vit import VisionTransformer
from limner.errors import InputError
from limner.evaluate.answering import Picture, answering_scores, asked_of
from limner.evaluate.protocol import Protocol
from limner.evaluate.report import pictures_hash, report
from limner.languages.subwords import Subwords
from limner.languages.transformer import LanguageTransformer
from limner.nn.pixels import to_tensor
from limner.recipes.library import load, weights_hash
from limner.recipes.recipe import Question
from limner.tokenizers.autoencoder import Autoencoder
from limner.train.settings import Settings
from limner.types import Image, Rng
from limner.unified.conversation import Packed, pack
from limner.unified.reconstruction import Reconstruction
from limner.unified.seer import Seer
from limner.unified.targets import FoldedLatents, resized

READ = 1_000  # scenes of each source whose talk the vocabulary is learned from
CHECKED = 60  # held-out scenes that are asked about while training
ASKED = 500  # and when evaluating
SHOWN = 32  # of those that it is checked on are drawn in previews


@dataclass(frozen=True, kw_only=True)
class Knobs(Settings):
    """A small model that sees: vision transformer, connector, language model."""

    encoder: str | None = None
    """Name or folder of a trained encoder; without one it is trained along, which takes far longer."""
    learns_to_see: bool = False
    """Go on training an encoder that was given."""
    size: int = 64
    """Pixels on a side."""
    patch: int = 8
    """Pixels on a side of a patch."""
    encoder_width: int = 192
    """Width of the vision transformer."""
    encoder_depth: int = 4
    """Blocks of the vision transformer."""
    width: int = 256
    """Width of the language model."""
    depth: int = 4
    """Blocks of the language model."""
    vocabulary: int = 512
    """Subwords there are."""
    turns: int = 6
    """Most questions about a scene."""
    images: int = 200_000
    batch: int = 32
    lr: float = 1e-3
    muon: float = 3e-3
    warmup: int = 5_000
    ema: int = 10_000
    beta2: float = 0.95
    sample_every: int = 20_000
    checkpoint_every: int = 10_000


def seer(knobs: Knobs, connector: Connector) -> Seer:
    """A freshly initialised model around a connector."""
    encoder = VisionTransformer(
        size=knobs.size,
        patch=knobs.patch,
        width=knobs.encoder_width,
        depth=knobs.encoder_depth,
        heads=max(knobs.encoder_width // 64, 1),
        activation=functional.silu,
    )
    language = LanguageTransformer(knobs.vocabulary, width=knobs.width, depth=knobs.depth, heads=knobs.width // 64)
    learns = knobs.encoder is None or knobs.learns_to_see
    return Seer(encoder, connector, language, Subwords(knobs.vocabulary), learns_to_see=learns)


def sources(knobs: Knobs) -> list[AskedScenes]:
    """Scenes of one to four things on white, on the grid and anywhere, and overlapping ones."""
    kinds: list[dict[str, Any]] = [
        {"objects": (1, 2)},
        {"objects": (2, 4)},
        {"objects": (1, 4), "grid": False},
        {"objects": (2, 4), "grid": False, "overlap": True},
    ]
    scenes = [Scenes(knobs.seed + i, split="train", size=knobs.size, **kind) for i, kind in enumerate(kinds)]
    return [AskedScenes(one, turns=knobs.turns) for one in scenes]


def said(sources: Iterable[AskedScenes]) -> Iterable[str]:
    """What is asked, answered and told."""
    for source in sources:
        for index in range(READ):
            for turn in source[index].turns:
                yield from turn[:2]


class AskedTask:
    """Trains a `Seer` on conversations about scenes.

    Args:
        model: what is trained.
        sources: conversations, taken in turn.
        held_out: conversations that it is checked on.
        reconstruction: what else hidden states at pictures are taught by; trained beside the model and not shipped.
        weight: of that loss.
    """

    def __init__(
        self,
        model: Seer,
        sources: Sequence[AskedScenes],
        held_out: Sequence[Conversation],
        reconstruction: Reconstruction | None = None,
        weight: float = 1.0,
    ) -> None:
        self.model: nn.Module = model
        self.extra: nn.Module | None = reconstruction
        self.sources, self.held_out = sources, held_out
        self.reconstruction, self.weight = reconstruction, weight

    def batch(self, start: int, size: int) -> dict[str, Tensor]:
        """Pictures and packed turns of items ``start .. start + size``."""
        assert isinstance(self.model, Seer)
        count = len(self.sources)
        talks = [
            self.sources[k % count][(k // count) % len(self.sources[k % count])] for k in range(start, start + size)
        ]
        packed = pack([talk.turns for talk in talks], self.model.vocabulary, self.model.slots)
        return {"image": to_tensor([talk.image for talk in talks]), **packed.to_dict()}

    def loss(self, model: nn.Module, batch: dict[str, Tensor], rng: Rng) -> tuple[Tensor, dict[str, Tensor | float]]:
        """Cross-entropy of the answers, and what reconstruction adds."""
        assert isinstance(model, Seer)
        packed = Packed(**{name: value for name, value in batch.items() if name != "image"})
        hidden = model.hidden(packed, model.vectors(batch["image"]))
        answers = model.answer_loss(packed, hidden)
        if self.reconstruction is None:
            return answers, {}
        seen, has_picture = model.at_pictures(packed, hidden)
        lost = self.reconstruction(seen, batch["image"], has_picture, rng)
        return answers + self.weight * lost, {"answers": answers.detach(), "reconstruction": lost.detach()}

    def preview(self, model: nn.Module) -> Image | None:
        """Held-out pictures, eight in a row, above what the model holds of them; nothing if it only speaks."""
        assert isinstance(model, Seer)
        if self.reconstruction is None:
            return None
        image = to_tensor([talk.image for talk in self.held_out[:SHOWN]]).to(model.language.words.device)
        rebuilt = self.reconstruction.picture(model.looking(image), Rng(range(len(image)), image.device))
        if rebuilt is None:
            return None
        image = resized(image, rebuilt.shape[-1])
        return torch.cat([row for pair in zip(image.split(8), rebuilt.split(8), strict=True) for row in pair])

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Answers to a few held-out questions."""
        assert isinstance(model, Seer)
        scores = answering_scores(answers_of(model), *asked_of(self.held_out))
        return {name: value for name, value in scores.items() if name.startswith(("qa/", "blind/"))}


def asked_task(
    knobs: Knobs, model: Seer, reconstruction: Reconstruction | None = None, weight: float = 1.0
) -> AskedTask:
    """Train on questions about scenes, with the encoder's weights and a vocabulary of what is said, and by what else
    pictures teach; raises `InputError` if ``--encoder`` names none or one of other sizes."""
    taught = sources(knobs)
    model.vocabulary = Subwords.trained(said(taught), size=knobs.vocabulary, length=knobs.vocabulary, speaks=True)
    adopt_encoder(knobs, model)
    held_out = Scenes(0, split="heldout", size=knobs.size, objects=(1, 4))
    return AskedTask(model, taught, talks(held_out, CHECKED), reconstruction, weight)


def adopt_encoder(knobs: Knobs, model: Seer) -> None:
    """Start from the encoder that the knobs name, if they do; errors as those of `asked_task`."""
    if knobs.encoder is None:
        return
    given = load(knobs.encoder)
    own = cast(nn.Module, given.encoder) if isinstance(given, Matcher) else nn.Module()
    encoder = cast(nn.Module, model.encoder)
    if shapes(own) != shapes(encoder):
        raise InputError(
            f"--encoder {knobs.encoder} is no vision transformer of {knobs.encoder_depth} blocks of width "
            f"{knobs.encoder_width} over patches of {knobs.patch}: give one, or its sizes"
        )
    encoder.load_state_dict(own.state_dict())


def latents_of(name: str, model: Seer) -> FoldedLatents:
    """A tokenizer's latents of a picture, shared out among the model's slots; raises `InputError` if it is no tokenizer
    of latents, or if they cannot be shared out."""
    tokenizer = load(name)
    if not isinstance(tokenizer, Autoencoder) or tokenizer.quantizer.discrete:
        raise InputError(f"--latents {name} is no tokenizer of latents: choose one such as vae-64")
    return FoldedLatents(tokenizer, tokenizer.quantizer.channels, model.slots)


def shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """What a module's state looks like."""
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}


def talks(scenes: Scenes, count: int) -> list[Conversation]:
    """The first conversations about some scenes, with their commonest kinds of question alike."""
    source = AskedScenes(scenes, turns=4, describe=False)
    return [source[i] for i in range(count)]


def answers_of(model: Seer) -> Any:
    """The model as a function of 8-bit pictures and questions."""

    def answers(images: Sequence[Picture] | None, questions: Sequence[str]) -> list[str]:
        return model.answers(None if images is None else to_tensor(list(images)), list(questions))

    return answers


def seeing_scores(model: Seer, asked: Question) -> dict[str, Any]:
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
            (talk.image for talk in every), (part for talk in every for turn in talk.turns for part in turn)
        ),
    )
    return report(asked.name, weights_hash(asked.name), protocol, scores)

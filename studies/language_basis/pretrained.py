"""The frozen parts, made once and kept: an encoder that has read captions, language models that have read descriptions.

    encoder     SuperClass (arXiv:2411.03313): which subwords does the description of this picture hold? And of every
                patch: colour, shape, size and place of what lies there (captions alone do not teach in minutes which
                colour belongs to which shape)
    language    reads a description, in words or in symbols that are no words, answers questions about it, and tells
                it again; it has never met a picture

Language models differ by seed, and in one case by width; their vocabulary is one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from jaxtyping import Int, UInt8
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from limner.data.conversations import DESCRIBE, Turn
from limner.data.scenes.sampling import Split
from limner.encoders.objectives.subword_set import SubwordFrequency
from limner.encoders.subwords import SubwordClassifier, SubwordHead
from limner.encoders.vit import VisionTransformer
from limner.languages.subwords import Subwords
from limner.languages.transformer import LanguageTransformer
from limner.nn.pixels import to_tensor
from limner.store.folder import load
from limner.tokenizers.autoencoder import Autoencoder
from limner.train.settings import Settings
from limner.train.task import Task
from limner.types import Rng, derive_seed
from limner.unified.segments import NOTHING
from limner.unified.targets import FoldedLatents
from studies.language_basis.learning import descend, learning
from studies.language_basis.measures import answered
from studies.language_basis.world import (
    KINDS,
    PATCH,
    ROOM,
    SIZE,
    SLOTS,
    SYMBOLS,
    VOCABULARY,
    Pool,
    Rows,
    asked_rows,
    described,
    retold,
    scenes,
    symbols_in_place,
    told_rows,
    turns,
    vocabulary,
)

READING, TRAINING, CHECKING, TESTING = 20_000, 12_800, 500, 1_000  # scenes of each pool
SAID = 1_000  # scenes whose talk the vocabulary is learned from
POOLS: dict[str, tuple[Split, int, int]] = {
    "train": ("train", 1, TRAINING),
    "check": ("train", 2, CHECKING),
    "test": ("heldout", 3, TESTING),
}
FEATURES = 128
ENCODER = Settings(images=60_000, batch=64, lr=1e-3, muon=3e-3, warmup=4_000, ema=0, precision="fp32", seed=0)
LANGUAGE = Settings(images=38_400, batch=32, lr=4e-3, muon=6e-3, warmup=1_600, beta2=0.95, ema=0, precision="fp32")
WIDTH, WIDER, DEPTH, HEADS = 64, 96, 2, 2
WIDE = -1  # in place of a seed: the wider language model
DRAWS, READS = 3, 0.9  # of weights of a language model, at most, and the accuracy that is asked of it

Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True)
class Pretrained:
    """Everything that is made once for a study, in a folder.

    ``scale`` is the share of pictures, scenes and steps, for rehearsals; ``say`` tells what is being made. With
    ``mixtures`` language models read mixtures of words in place of symbols, which favours bases of words.
    """

    folder: Path
    scale: float
    say: Callable[[str], None]
    mixtures: bool = False

    def scenes_of(self, count: int) -> int:
        """As many scenes of a pool as the scale allows."""
        return max(round(count * self.scale), 64)

    @cached_property
    def words(self) -> Subwords:
        """The vocabulary of encoder and language models."""
        made = Subwords(ROOM)
        state = self.kept("words", lambda: {"vocabulary": vocabulary(0, self.scenes_of(SAID)).get_extra_state()})
        made.set_extra_state(state["vocabulary"])
        return made

    @cached_property
    def reading(self) -> dict[str, Tensor]:
        """Pictures ``[n 3 h w]`` of 8 bits, subwords of their descriptions, and rows of talk after descriptions."""
        return self.kept("reading", self._read)

    def _read(self) -> dict[str, Tensor]:
        self.say("scenes to read")
        count = self.scenes_of(READING)
        source = scenes("train", 0, count)
        images, told, talks, symbols = [], [], [], []
        for index in range(count):
            scene = source[index]
            images.append(scene.image)
            symbols.append(symbols_in_place(scene))
            told.append(described(scene))
            again = Turn(DESCRIBE, retold(told[-1], Random(index)), "retold")
            talks.append([*turns(scene, index), again])
        told_in_words = told_rows(told, talks, self.words).to_dict()
        shown = asked_rows(talks, self.words).to_dict()
        texts = [" ".join(thing.text for thing in things) for things in told]
        return {
            "images": _pictures(images),
            "described": self.words.encode(texts).to(torch.int16),
            "symbols": torch.from_numpy(np.stack(symbols)).to(torch.int16),
            **{f"told-{name}": value for name, value in told_in_words.items()},
            **{f"shown-{name}": value for name, value in shown.items()},
        }

    @cached_property
    def classifier(self) -> SubwordClassifier:
        """The encoder with its classifier into subwords, trained."""
        torch.manual_seed(0)
        encoder = VisionTransformer(
            size=SIZE, patch=PATCH, width=FEATURES, depth=4, heads=4, activation=functional.silu
        )
        head = SubwordHead(FEATURES, VOCABULARY, normalised=False)
        model = SubwordClassifier(encoder, head, SubwordFrequency(VOCABULARY, (0, 1)))
        return self._taught("encoder", model, ENCODER, lambda: self._superclass(model))

    def _superclass(self, model: SubwordClassifier) -> Task[Any, Any]:
        images, ids, symbols = (self.reading[name] for name in ("images", "described", "symbols"))
        dense = nn.Linear(FEATURES, symbols.shape[-1] * (1 + len(SYMBOLS)))

        def loss(index: Int[Tensor, "b"]) -> Tensor:
            features = model.encoder(images[index].float() / 127.5 - 1.0).vectors
            told = model.frequency(model.head(features.mean(1)).float(), ids[index].long())
            said = dense(features).unflatten(-1, (symbols.shape[-1], -1))
            return told + functional.cross_entropy(said.flatten(0, 2), symbols[index].long().flatten())

        return learning(model, len(images), 0, loss, dense)

    def language(self, seed: int) -> LanguageTransformer:
        """The frozen language model of a seed, or the wider one (`WIDE`): the first draw of weights that has learnt to
        read, for now and then one is stuck where it names what was said and not what belongs together."""
        width = WIDER if seed == WIDE else WIDTH
        for draw in range(DRAWS):
            torch.manual_seed(derive_seed(seed, "language", *([draw] if draw else [])))
            model = LanguageTransformer(VOCABULARY, width=width, depth=DEPTH, heads=HEADS, length=128)
            name = f"language-{'wide' if seed == WIDE else seed}{'' if draw == 0 else f'-{draw}'}"
            self._taught(name, model, LANGUAGE, lambda model=model: self._telling(model, seed))  # type: ignore[misc]
            if self.scale < 1 or self.told(model)["all"] > READS:
                break
        return model

    @torch.no_grad()
    def told(self, language: LanguageTransformer) -> dict[str, float]:
        """Accuracy after descriptions in words that the language model has not read."""
        rows = self.rows("told")
        held = rows.take(torch.arange(len(rows) - self.scenes_of(CHECKING), len(rows)))
        hidden = language(language.embed(held.packed.ids), held.packed.positions, held.packed.visible())
        right = answered(language, held.packed, hidden, held.kinds.shape[1])
        found = {"all": float(right[held.kinds >= 0].float().mean())}
        return found | {name: float(right[held.kinds == number].float().mean()) for number, name in enumerate(KINDS)}

    def _telling(self, model: LanguageTransformer, seed: int) -> Task[Any, Any]:
        told, shown = self.rows("told"), self.rows("shown")
        symbols = nn.Embedding(1 + len(SYMBOLS), model.width)
        spelled = [self.words.ids(symbol) for symbol in SYMBOLS]

        def shown_as(index: Int[Tensor, "b"]) -> Tensor:
            """Vectors of the slots of a picture."""
            table = symbols.weight
            if self.mixtures:
                nothing = torch.zeros(1, model.width)
                table = torch.cat([nothing, torch.stack([model.words[ids].mean(0) for ids in spelled])])
            return table[self.reading["symbols"][index].long()].sum(2) / 2

        def read(rows: Rows, x: Tensor) -> Tensor:
            hidden = model(x, rows.packed.positions, rows.packed.visible())
            losses = []
            for target in (rows.packed.targets, rows.coming):
                learnt = target != NOTHING
                losses.append(functional.cross_entropy(model.logits(hidden[learnt][None])[0], target[learnt]))
            return losses[0] + losses[1]

        def loss(index: Int[Tensor, "b"]) -> Tensor:
            in_words, in_symbols = (rows.take(part) for rows, part in zip((told, shown), index.chunk(2), strict=True))
            x = model.embed(in_symbols.packed.ids)
            x[:, :SLOTS] = shown_as(index.chunk(2)[1])
            return read(in_words, model.embed(in_words.packed.ids)) + read(in_symbols, x)

        extra = None if self.mixtures else symbols
        return learning(model, len(told) - self.scenes_of(CHECKING), seed, loss, extra)

    def rows(self, kind: Literal["told", "shown"]) -> Rows:
        """Talk after descriptions in words, or in symbols; the last ones are kept from language models."""
        return Rows.from_dict({name.removeprefix(f"{kind}-"): value for name, value in self.reading.items()})

    def pool(self, name: str) -> Pool:
        """Scenes as connectors see them."""
        kept = self.kept(f"pool-{name}", lambda: self._seen(name))
        rest = {key: value for key, value in kept.items() if key not in ("features", "symbols", "latents")}
        return Pool(kept["features"].float(), Rows.from_dict(rest), kept["symbols"], kept["latents"].float())

    def _seen(self, name: str) -> dict[str, Tensor]:
        split, seed, count = POOLS[name]
        count = self.scenes_of(count)
        self.say(f"{count} scenes to {name}")
        source = scenes(split, seed, count)
        encoder, latents = self.classifier.encoder, folded_latents()
        features, folded, talks, symbols = [], [], [], []
        for start in range(0, count, 100):
            some = [source[index] for index in range(start, min(start + 100, count))]
            image = to_tensor([scene.image for scene in some])
            with torch.no_grad():
                features.append(encoder(image).vectors.half())
            folded.append(latents.values(image, Rng(derive_seed(seed, "latents", start))).half())
            talks += [turns(scene, start + place) for place, scene in enumerate(some)]
            symbols += [symbols_in_place(scene) for scene in some]
        return {
            "features": torch.cat(features),
            "latents": torch.cat(folded),
            "symbols": torch.from_numpy(np.stack(symbols)).to(torch.int16),
            **asked_rows(talks, self.words).to_dict(),
        }

    def kept(self, name: str, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """Tensors of a file, made if it is not there; a file is there wholly or not at all."""
        file = self.folder / f"{name}.safetensors"
        if not file.is_file():
            made = make()
            self.folder.mkdir(parents=True, exist_ok=True)
            aside = file.with_suffix(".writing")
            save_file({key: value.contiguous() for key, value in made.items()}, aside)
            aside.rename(file)
        return load_file(file)

    def _taught(self, name: str, model: Module, settings: Settings, task: Callable[[], Task[Any, Any]]) -> Module:
        def made() -> dict[str, Tensor]:
            self.say(f"{name} learns")
            images = max(round(settings.images * self.scale) // settings.batch, 2) * settings.batch
            descend(task(), replace(settings, images=images))
            return dict(model.state_dict())

        model.load_state_dict(self.kept(name, made))
        return model.requires_grad_(False).eval()


def folded_latents() -> FoldedLatents:
    """What the tokenizer vae-64 makes of a picture, shared out among its slots."""
    tokenizer = load("vae-64")
    assert isinstance(tokenizer, Autoencoder)
    return FoldedLatents(tokenizer, tokenizer.quantizer.channels, (SIZE // PATCH) ** 2)


def _pictures(images: list[UInt8[np.ndarray, "h w 3"]]) -> Tensor:
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()

"""What the training of a vision-language model begins with: an encoder, a language model, a connector or a classifier
of models that were trained before, named by knobs of `limner.recipes.understanding.family`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from torch import nn

from limner.connectors.basis import LanguageBasis
from limner.connectors.scores import DenseHead
from limner.encoders.encoder import innermost
from limner.encoders.matcher import ImageTextModel
from limner.encoders.subwords import SubwordClassifier
from limner.errors import InputError
from limner.languages.subwords import Subwords
from limner.models.vision_language import VisionLanguageModel
from limner.nn.pretrained_folder import has_weights
from limner.recipes.understanding.family import Knobs, SmallKnobs
from limner.store.files import WEIGHTS, fill, is_described, locate, read_weights
from limner.store.folder import load
from limner.train import checkpoint


def require_weights(knobs: Knobs) -> None:
    """Raises `InputError` for folders of transformers that only describe a model: there is nothing to train on from."""
    for option, name in (("encoder", knobs.encoder), ("language", knobs.language)):
        if name is not None and is_described(name) and not has_weights(Path(name)):
            raise InputError(f"--{option} {name} holds no weights of a model of transformers: copy them too")


def start_encoder(knobs: SmallKnobs, model: VisionLanguageModel) -> None:
    """From limner's own encoder that ``--encoder`` names, if it does; raises `InputError` if it is none or has other
    sizes."""
    if knobs.encoder is None or is_described(knobs.encoder):
        return
    source = load(knobs.encoder)
    trained = cast(nn.Module, source.encoder) if isinstance(source, ImageTextModel) else nn.Module()
    encoder = cast(nn.Module, innermost(model.encoder))
    if shapes(trained) != shapes(encoder):
        raise InputError(
            f"--encoder {knobs.encoder} is no vision transformer of {knobs.encoder_depth} blocks of width "
            f"{knobs.encoder_width} over patches of {knobs.patch}: give one, or its sizes"
        )
    encoder.load_state_dict(trained.state_dict())


def start_language(knobs: Knobs, model: VisionLanguageModel) -> None:
    """From limner's own language model and vocabulary that ``--language`` names, if it does; raises `InputError` if it
    is none or has other sizes."""
    if knobs.language is None or is_described(knobs.language):
        return
    source, language = load(knobs.language), cast(nn.Module, model.language)
    trained = cast(nn.Module, source.language) if isinstance(source, VisionLanguageModel) else nn.Module()
    if shapes(trained) != shapes(language):
        raise InputError(
            f"--language {knobs.language} holds no language model of {knobs.depth} blocks of width {knobs.width} over "
            f"{knobs.vocabulary} subwords: give one, or its sizes"
        )
    language.load_state_dict(trained.state_dict())
    model.vocabulary = source.vocabulary


def start_connector(knobs: Knobs, model: VisionLanguageModel, extra: nn.Module | None) -> None:
    """From the connector of the run that ``--aligned`` names, and what its last checkpoint trained beside the model;
    raises `CheckpointError` if they have other shapes, `InputError` if there is no such run."""
    if knobs.aligned is None:
        return
    folder = locate(knobs.aligned)
    tensors = read_weights(folder / WEIGHTS)
    connector = {
        key.removeprefix("connector."): value for key, value in tensors.items() if key.startswith("connector.")
    }
    fill(cast(nn.Module, model.connector), connector, folder)
    newest, _ = checkpoint.newest(Path(knobs.aligned))
    if extra is not None and newest is not None and (newest / "extra.safetensors").is_file():
        fill(extra, read_weights(newest / "extra.safetensors"), newest)


def start_scores(encoder: str | None, connector: LanguageBasis, subwords: Subwords, rows: Sequence[int]) -> None:
    """From the classifier of the SuperClass ``encoder``, for a basis of these ``rows`` of the table: subwords that are
    spelled alike are the same. Raises `InputError` if it has none."""
    source = load(encoder) if encoder is not None else None
    classifier = source.learner if isinstance(source, ImageTextModel) else None
    if not isinstance(classifier, SubwordClassifier) or len(classifier.head.blocks):
        raise InputError(
            f"--encoder {encoder} has no linear classifier into subwords: give a SuperClass of --head-depth 0"
        )
    known = cast(Subwords, cast(ImageTextModel, source).subwords).vocabulary.get_vocab()
    ids = torch.tensor([known.get(subwords.vocabulary.id_to_token(row) or "", -1) for row in rows])
    output = classifier.head.output
    cast(DenseHead, connector.head).start_from(output.weight, output.bias, ids)


def shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """Of all tensors of a module's state, by name."""
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}

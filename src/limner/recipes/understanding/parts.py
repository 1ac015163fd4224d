"""What a model that sees is put together from: limner's own small encoder and language model, trained from the start,
or those that others trained, from local folders of `transformers`.

    (nothing)                            a small vision transformer     a small transformer
    --encoder runs/superclass            limner's own, trained
    --encoder siglip-base-patch16-256    a tower of a folder
    --language Qwen2.5-0.5B                                             a language model of a folder
    --language Qwen2.5-0.5B --lora 16                                   which stays, with adapters that learn

Two stages, as LLaVA's (arXiv:2304.08485, Section 4.2): ``--stage align`` teaches the connector alone, ``--stage
instruct`` the language model too, beginning with the connector of ``--aligned``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, cast

import torch
from torch import nn
from torch.nn import functional

from limner.connectors.connector import Connector
from limner.encoders.encoder import VisionEncoder
from limner.encoders.pretrained import PretrainedEncoder
from limner.encoders.vit import VisionTransformer
from limner.errors import InputError
from limner.languages.adapters import ALL, adapt
from limner.languages.huggingface import HuggingFaceLanguage, has_weights
from limner.languages.language import LanguageModel
from limner.languages.pretrained_subwords import PROMPT, PretrainedSubwords
from limner.languages.subwords import Subwords
from limner.languages.transformer import LanguageTransformer
from limner.models.vision_language import VisionLanguageModel
from limner.store.files import WEIGHTS, fill, is_described, locate, read_weights
from limner.train import checkpoint
from limner.train.settings import RARE, Settings
from limner.unified.conversation import TextVocabulary


@dataclass(frozen=True, kw_only=True)
class Knobs(Settings):
    """Encoder, language model, and which of them learn."""

    encoder: str | None = None
    """Name or folder of a trained encoder, limner's or a vision tower of transformers (CLIP, SigLIP, DINOv2); without
    one it is trained along, which takes far longer."""
    learns_to_see: bool = field(default=False, metadata=RARE)
    """Go on training an encoder that was given."""
    encoder_layer: int = field(default=-1, metadata=RARE)
    """Whose states are read of a tower of transformers: -1 is the last, -2 the one before, as LLaVA reads CLIP."""
    size: int = 64
    """Pixels on a side; a tower of transformers has a size of its own."""
    patch: int = 8
    """Pixels on a side of a patch."""
    encoder_width: int = field(default=192, metadata=RARE)
    """Width of the vision transformer."""
    encoder_depth: int = field(default=4, metadata=RARE)
    """Blocks of the vision transformer."""
    language: str | None = None
    """Folder of a causal language model of transformers (Qwen, Llama, SmolLM) with its tokenizer, or a model of
    limner's, whose small language model this one begins with; without one it is trained from the start."""
    prompt: str = field(default=PROMPT, metadata=RARE)
    """How a question stands before a language model of transformers, {} being the question."""
    lora: int = 0
    """Rank of adapters, which then learn in place of a language model of transformers; 0 teaches all of it."""
    lora_alpha: float | None = field(default=None, metadata=RARE)
    """Scale of adapters times their rank; twice the rank if not given."""
    lora_targets: tuple[str, ...] = field(default=(ALL,), metadata=RARE)
    """Names of linear layers that get adapters, such as q_proj v_proj; all-linear is all but the head."""
    stage: Literal["align", "instruct"] = "instruct"
    """Teach the connector alone, or the language model too."""
    aligned: str | None = None
    """Folder of a run whose connector, and whatever was trained beside the model, this one begins with."""
    width: int = 256
    """Width of the small language model."""
    depth: int = 4
    """Blocks of the small language model."""
    vocabulary: int = field(default=512, metadata=RARE)
    """Subwords of the small language model."""
    length: int = field(default=512, metadata=RARE)
    """Most slots of a row, picture and talk; longer talk loses its last turns."""


class Parts(NamedTuple):
    """What a connector joins."""

    encoder: VisionEncoder
    language: LanguageModel
    vocabulary: TextVocabulary


def parts(knobs: Knobs) -> Parts:
    """Encoder, language model and vocabulary: small ones fresh, those of folders with their weights, and if there are
    none, as in the folder of a saved model, without. Raises `InputError` for folders that hold no such model."""
    encoder: VisionEncoder
    if knobs.encoder is not None and is_described(knobs.encoder):
        eyes = Path(knobs.encoder)
        read = PretrainedEncoder.read if has_weights(eyes) else PretrainedEncoder.shaped
        encoder = read(eyes, layer=knobs.encoder_layer)
    else:
        encoder = VisionTransformer(
            size=knobs.size,
            patch=knobs.patch,
            width=knobs.encoder_width,
            depth=knobs.encoder_depth,
            heads=max(knobs.encoder_width // 64, 1),
            activation=functional.silu,
        )
    if knobs.language is not None and is_described(knobs.language):
        return Parts(encoder, _language(knobs), PretrainedSubwords.read(Path(knobs.language), prompt=knobs.prompt))
    if knobs.lora or (knobs.stage == "align" and knobs.language is None):
        raise InputError("--lora and --stage align are for a language model that speaks: name one by --language")
    heads = knobs.width // 64
    small = LanguageTransformer(
        knobs.vocabulary, width=knobs.width, depth=knobs.depth, heads=heads, length=knobs.length
    )
    return Parts(encoder, small, Subwords(knobs.vocabulary))


def _language(knobs: Knobs) -> HuggingFaceLanguage:
    """The language model of a folder, in bf16 if it stays as it is and training computes so."""
    assert knobs.language is not None
    stays = knobs.stage == "align" or knobs.lora > 0
    dtype = torch.bfloat16 if stays and knobs.precision == "bf16" else torch.float32
    folder = Path(knobs.language)
    language = (
        HuggingFaceLanguage.read(folder, dtype=dtype) if has_weights(folder) else HuggingFaceLanguage.shaped(folder)
    )
    if knobs.lora and knobs.stage == "instruct":
        adapt(language.model, rank=knobs.lora, alpha=knobs.lora_alpha, targets=knobs.lora_targets)
    return language


def seer(knobs: Knobs, made: Parts, connector: Connector) -> VisionLanguageModel:
    """A model around a connector, of which that learns which is to."""
    learns = knobs.learns_to_see or knobs.encoder is None
    if knobs.stage == "align":
        cast(nn.Module, made.language).requires_grad_(False)
    return VisionLanguageModel(made.encoder, connector, made.language, made.vocabulary, learns_to_see=learns)


def require_weights(knobs: Knobs) -> None:
    """Raises `InputError` for folders of transformers that only describe a model: there is nothing to train on from."""
    for option, name in (("encoder", knobs.encoder), ("language", knobs.language)):
        if name is not None and is_described(name) and not has_weights(Path(name)):
            raise InputError(f"--{option} {name} holds no weights of a model of transformers: copy them too")


def adopt_aligned(knobs: Knobs, model: VisionLanguageModel, extra: nn.Module | None) -> None:
    """Begin with the connector of the run that ``--aligned`` names, and with what its last checkpoint trained beside
    the model; raises `CheckpointError` if they have other shapes, `InputError` if there is no such run."""
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

"""What all vision-language recipes share: knobs, encoder and language model, lesson and score.

    (nothing)                            a small vision transformer     a small transformer
    --encoder runs/superclass            limner's own, trained
    --encoder siglip-base-patch16-256    a tower of a folder
    --language Qwen2.5-0.5B                                             a language model of a folder
    --language Qwen2.5-0.5B --lora 16                                   which stays, with adapters that learn

A system's file adds its knobs to `Knobs` and builds the connector between `parts`. Two stages, as LLaVA's
(arXiv:2304.08485, Section 4.2): ``--stage align`` trains the connector alone, ``--stage instruct`` the language model
too, beginning with the connector of ``--aligned``. Data, training and scoring are imported when they are needed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from limner.connectors.connector import Connector
from limner.data.images import MAX_PIXELS
from limner.encoders.encoder import VisionEncoder
from limner.encoders.pretrained import PretrainedEncoder
from limner.encoders.vit import VisionTransformer
from limner.errors import InputError
from limner.languages.adapters import ALL, adapt
from limner.languages.huggingface import HuggingFaceLanguage
from limner.languages.language import LanguageModel
from limner.languages.pretrained_subwords import PROMPT, PretrainedSubwords
from limner.languages.subwords import Subwords
from limner.languages.transformer import LanguageTransformer
from limner.models.vision_language import VisionLanguageModel
from limner.nn.pretrained_folder import has_weights
from limner.recipe import EvaluationRequest
from limner.store.files import is_described
from limner.train.settings import RARE, RUN, Settings
from limner.train.task import Task
from limner.unified.conversation import TextVocabulary

if TYPE_CHECKING:
    from limner.lessons.conversations import ConversationLesson
    from limner.unified.reconstruction import Reconstruction

Lesson: TypeAlias = Task[VisionLanguageModel, dict[str, Tensor]]
LENGTH = 512  # most tokens of a row
TINY: dict[str, Any] = {
    "size": 16,
    "encoder_width": 64,
    "encoder_depth": 2,
    "width": 64,
    "depth": 1,
    "vocabulary": 384,
    "turns": 2,
}


@dataclass(frozen=True, kw_only=True)
class SmallKnobs(Settings):
    """A small vision transformer and a small language model, trained on questions about scenes."""

    encoder: str | None = None
    """Name or folder of a trained encoder; without one it is trained along, which takes far longer."""
    size: int = 64
    """Pixels on a side."""
    patch: int = 8
    """Pixels on a side of a patch."""
    encoder_width: int = field(default=192, metadata=RARE)
    """Width of the vision transformer."""
    encoder_depth: int = field(default=4, metadata=RARE)
    """Blocks of the vision transformer."""
    width: int = 256
    """Width of the small language model."""
    depth: int = 4
    """Blocks of the small language model."""
    vocabulary: int = field(default=512, metadata=RARE)
    """Subwords of the small language model."""
    turns: int = field(default=6, metadata=RARE)
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


@dataclass(frozen=True, kw_only=True)
class Knobs(SmallKnobs):
    """Encoder, language model, which of them learn, and from what."""

    encoder: str | None = None
    """Name or folder of a trained encoder, limner's or a vision tower of transformers (CLIP, SigLIP, DINOv2), which has
    a size of its own; without one it is trained along, which takes far longer."""
    learns_to_see: bool = field(default=False, metadata=RARE)
    """Go on training the encoder of --encoder."""
    encoder_layer: int = field(default=-1, metadata=RARE)
    """Whose states are read of a tower of transformers: -1 is the last, -2 the one before, as LLaVA reads CLIP."""
    language: str | None = None
    """Folder of a causal language model of transformers (Qwen, Llama, SmolLM) with its tokenizer, or a model of
    limner's, whose small language model this one begins with; without one it is trained from the start."""
    prompt: str = field(default=PROMPT, metadata=RARE)
    """How a question stands before a language model of transformers, {} being the question."""
    lora: int = 0
    """Rank of adapters, which then learn in place of a language model of transformers; 0 trains all of it."""
    lora_alpha: float | None = field(default=None, metadata=RARE)
    """Scale of adapters times their rank; twice the rank if not set."""
    lora_targets: tuple[str, ...] = field(default=(ALL,), metadata=RARE)
    """Names of linear layers that get adapters, such as q_proj v_proj; all-linear is all but the head."""
    stage: Literal["align", "instruct"] = "instruct"
    """Train the connector alone, or the language model too."""
    aligned: str | None = None
    """Folder of a run whose connector, and whatever was trained beside the model, this one begins with."""
    length: int = field(default=LENGTH, metadata=RARE)
    """Most tokens of a row, image and text; longer conversations lose their last turns."""
    data: str | None = None
    """A JSON file of LLaVA conversations or COCO captions, or captioned pictures (a folder or tar shards); without
    one, questions about scenes."""
    pictures: str | None = None
    """Folder that the images' paths in that file start from; without one, the file's own."""
    fitted: Literal["pad", "crop"] = field(default="pad", metadata=RARE)
    """How such an image becomes square: padded with white, or cropped to the middle."""
    max_pixels: int = field(default=MAX_PIXELS, metadata={**RUN, **RARE})
    """Pictures of yours with more pixels are refused before they are decoded."""
    subwords: str | None = field(default=None, metadata=RARE)
    """Name or folder of a model whose subwords the small language model takes, so that the two can be swapped
    (`limner swap`); without it they are learned from questions and answers."""


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
        tower = Path(knobs.encoder)
        read = PretrainedEncoder.read if has_weights(tower) else PretrainedEncoder.shaped
        encoder = read(tower, layer=knobs.encoder_layer)
    else:
        encoder = small_encoder(knobs)
    if knobs.language is not None and is_described(knobs.language):
        return Parts(encoder, _language(knobs), PretrainedSubwords.read(Path(knobs.language), prompt=knobs.prompt))
    if knobs.lora and knobs.language is not None:
        raise InputError(
            f"{knobs.language} cannot be read as a causal language model of transformers, which --lora adapts: name "
            "the folder of one"
        )
    if knobs.lora or (knobs.stage == "align" and knobs.language is None):
        raise InputError("--lora and --stage align are for a trained language model: name one by --language")
    return Parts(encoder, small_language(knobs, knobs.length), Subwords(knobs.vocabulary))


def small_encoder(knobs: SmallKnobs) -> VisionTransformer:
    """A freshly initialised vision transformer."""
    return VisionTransformer(
        size=knobs.size,
        patch=knobs.patch,
        width=knobs.encoder_width,
        depth=knobs.encoder_depth,
        heads=max(knobs.encoder_width // 64, 1),
        activation=functional.silu,
    )


def small_language(knobs: SmallKnobs, length: int = LENGTH) -> LanguageTransformer:
    """A freshly initialised language model for rows of ``length`` tokens."""
    heads = knobs.width // 64
    return LanguageTransformer(knobs.vocabulary, width=knobs.width, depth=knobs.depth, heads=heads, length=length)


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


def vision_language(knobs: Knobs, parts: Parts, connector: Connector) -> VisionLanguageModel:
    """The model, whose parts learn as the knobs have it."""
    learns = knobs.learns_to_see or knobs.encoder is None
    if knobs.stage == "align":
        cast(nn.Module, parts.language).requires_grad_(False)
    return VisionLanguageModel(parts.encoder, connector, parts.language, parts.vocabulary, learns_to_see=learns)


def conversation_lesson(
    knobs: Knobs, model: VisionLanguageModel, reconstruction: Reconstruction | None = None, weight: float = 1.0
) -> ConversationLesson:
    """Training on scenes or on the user's file, from parts that were trained before, with a vocabulary of that data for
    the small language model; ``reconstruction``: see `ConversationLesson`. Raises `InputError` for data or parts that
    do not suit the model."""
    from limner.data.captioned import own_conversations
    from limner.lessons.conversations import ConversationLesson, scene_split, split_of, vocabulary, within
    from limner.recipes.understanding.start import require_weights, start_connector, start_encoder, start_language

    require_weights(knobs)
    size, aligning = model.encoder.size, knobs.stage == "align"
    own, notices = None, list[str]()
    if knobs.data is None:
        split = scene_split(size, knobs.turns, knobs.seed)
    else:
        own = own_conversations(knobs.data, knobs.pictures, size=size, fitted=knobs.fitted, max_pixels=knobs.max_pixels)
        own = own.pictured() if aligning else own
        split = split_of(own, knobs.data, [], seed=knobs.seed)
    if knobs.language is None:
        model.vocabulary = vocabulary(split.training, knobs.vocabulary, knobs.subwords)
    start_language(knobs, model)
    start_encoder(knobs, model)
    start_connector(knobs, model, reconstruction)
    if own is not None:  # now that it is known how its words are cut
        split = split_of(within(own, model, knobs.length, notices), str(knobs.data), notices, seed=knobs.seed)
    return ConversationLesson(model, *split, reconstruction, weight, knobs.length, notices)


def lesson(knobs: Knobs, model: VisionLanguageModel) -> Lesson:
    """Training on answers alone; errors as those of `conversation_lesson`."""
    return conversation_lesson(knobs, model).task()


def score(model: VisionLanguageModel, request: EvaluationRequest) -> dict[str, Any]:
    """Accuracy of answers about held-out scenes and unseen compositions; see `limner.recipes.scores`."""
    from limner.recipes.scores import vision_language_scores

    return vision_language_scores(model, request)

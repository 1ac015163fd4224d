"""Who judges what: the shipped feature net and recogniser, applied to tokenizers and to generators; true answers,
compared with a vision-language model's."""

from __future__ import annotations

from typing import Any

from limner.data.images import extent
from limner.data.scenes import Scenes
from limner.encoders.matcher import ImageTextModel
from limner.encoders.recogniser import Recogniser
from limner.evaluate.answering import answering_scores, questions_of
from limner.evaluate.encoder import evaluate_encoder
from limner.evaluate.frechet import FeatureFn
from limner.evaluate.generator import evaluate_generator
from limner.evaluate.inception import load_inception
from limner.evaluate.protocol import Protocol
from limner.evaluate.report import pictures_hash, report
from limner.evaluate.tokenizer import evaluate_tokenizer
from limner.lessons.conversations import answers_of, scene_questions
from limner.lessons.recogniser import RecogniserTraining, read_scenes
from limner.models.text_to_image import TextToImage
from limner.models.vision_language import VisionLanguageModel
from limner.recipe import EvaluationRequest
from limner.store.files import weights_hash
from limner.store.folder import load
from limner.tokenizers.tokenizer import QuantizingTokenizer
from limner.types import Image, derive_seed

QUESTIONED = 500  # scenes of each split that questions are about, unless the request says otherwise


def _feature_net(request: EvaluationRequest) -> tuple[FeatureFn | None, str]:
    if request.inception is None:
        return None, ""
    return load_inception(request.inception), "Inception-v3"


def tokenizer_scores(model: QuantizingTokenizer, request: EvaluationRequest) -> dict[str, Any]:
    """Reconstruction of held-out pictures; nothing is drawn, so the seed has no effect."""
    feature_fn, feature_name = _feature_net(request)
    return evaluate_tokenizer(
        model,
        load("features"),
        model=request.name,
        weights=weights_hash(request.name),
        codebook_size=getattr(model.quantizer, "entries", None),
        count=request.count,
        feature_fn=feature_fn,
        feature_name=feature_name,
    )


def generator_scores(model: TextToImage, request: EvaluationRequest) -> dict[str, Any]:
    """Prompt accuracy and distance of a model that draws captions, with its own guidance and steps."""

    side = min(extent(model.tokenizer.size))

    def draw(prompts: list[str], batch_seed: int) -> Image:
        images = model.images(prompts, [derive_seed(batch_seed, i) for i in range(len(prompts))])
        top, left = ((edge - side) // 2 for edge in images.shape[-2:])  # what is drawn lies in the central square
        return images[..., top : top + side, left : left + side]

    feature_fn, feature_name = _feature_net(request)
    return evaluate_generator(
        draw,
        load("recogniser"),
        load("features"),
        model=request.name,
        weights=weights_hash(request.name),
        size=side,
        count=request.count,
        seed=request.seed,
        feature_fn=feature_fn,
        feature_name=feature_name,
    )


def encoder_scores(model: ImageTextModel, request: EvaluationRequest) -> dict[str, Any]:
    """What the features know, and whether images lie where their captions do; a seed has no effect."""
    return evaluate_encoder(
        model.encoder, model, model=request.name, weights=weights_hash(request.name), count=request.count
    )


def recogniser_scores(model: Recogniser, request: EvaluationRequest) -> dict[str, Any]:
    """How often the recogniser reads real pictures right: held-out scenes (1,000), held-out compositions, all emoji."""
    count = request.count or 1_000
    scores = dict(read_scenes(model, Scenes(0, split="heldout", objects=(1, 2)), count))
    unseen = read_scenes(model, Scenes(0, split="compositions", objects=(1, 2)), count)
    scores |= {key.replace("read/", "read/compositions/"): value for key, value in unseen.items()}
    scores["read/name"] = RecogniserTraining(model, seed=request.seed).validate(model)["read/name"]
    protocol = Protocol(reference=f"{count} held-out scenes, {count} compositions, all emoji", count=count, size=64)
    return report(request.name, weights_hash(request.name), protocol, scores)


def vision_language_scores(model: VisionLanguageModel, request: EvaluationRequest) -> dict[str, Any]:
    """Answers about held-out scenes and about compositions that no training scene has; see `answering_scores`."""
    count, size = request.count or QUESTIONED, model.encoder.size
    scenes = scene_questions(Scenes(0, split="heldout", size=size, objects=(1, 4)), count)
    compositions = scene_questions(Scenes(0, split="compositions", size=size, objects=(1, 2)), count)
    scores = answering_scores(answers_of(model), *questions_of(scenes))
    composed = answering_scores(answers_of(model), *questions_of(compositions))
    scores["compositions/overall"] = composed["qa/overall"]
    every = [*scenes, *compositions]
    protocol = Protocol(
        reference=f"questions about {count} held-out scenes of 1 to 4 things and {count} of unseen compositions",
        count=sum(len(one.turns) for one in every),
        size=size,
        resize="rendered at this size",
        judge="equal words",
        reference_hash=pictures_hash(
            (one.image for one in every if one.image is not None),
            (text for one in every for turn in one.turns for text in turn),
        ),
    )
    return report(request.name, weights_hash(request.name), protocol, scores)

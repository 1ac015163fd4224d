"""Who judges what: the shipped feature net and recogniser, applied to tokenizers and to generators; true answers,
compared with a vision-language model's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from limner.data.captioned import own_conversations
from limner.data.images import extent, fit, read_image
from limner.data.own import open_own
from limner.data.question_sets import read_questions
from limner.data.scenes import Scenes
from limner.data.source import Example
from limner.encoders.matcher import ImageTextModel
from limner.encoders.recogniser import Recogniser
from limner.errors import InputError
from limner.evaluate.answering import answering_scores, questions_of
from limner.evaluate.asking import ask, picks, rights
from limner.evaluate.encoder import evaluate_encoder
from limner.evaluate.frechet import FeatureFn
from limner.evaluate.generator import evaluate_generator
from limner.evaluate.inception import load_inception
from limner.evaluate.own import answer_scores, drawing_scores, examples_of, matching_scores
from limner.evaluate.protocol import Protocol
from limner.evaluate.protocol import weights_hash as module_hash
from limner.evaluate.report import pictures_hash, report
from limner.evaluate.tokenizer import evaluate_tokenizer
from limner.lessons.conversations import ConversationLesson, answers_of, scene_questions
from limner.lessons.recogniser import RecogniserTraining, read_scenes
from limner.models.text_to_image import TextToImage
from limner.models.vision_language import VisionLanguageModel
from limner.recipe import EvaluationRequest
from limner.store.files import weights_hash
from limner.store.folder import load
from limner.tokenizers.tokenizer import QuantizingTokenizer
from limner.types import Image, Size, derive_seed

ORDERS = 4  # of the options of a question of the user
QUESTIONED = 500  # scenes of each split that questions are about, unless the request says otherwise


def _feature_net(request: EvaluationRequest) -> tuple[FeatureFn | None, str]:
    if request.inception is None:
        return None, ""
    return load_inception(request.inception), "Inception-v3"


def tokenizer_scores(model: QuantizingTokenizer, request: EvaluationRequest) -> dict[str, Any]:
    """Reconstruction of held-out pictures; nothing is drawn, so the seed has no effect."""
    feature_fn, feature_name = _feature_net(request)
    own = None if request.data is None else _own(request, model.size, captioned=False)
    return evaluate_tokenizer(
        model,
        load("features"),
        model=request.name,
        weights=weights_hash(request.name),
        codebook_size=getattr(model.quantizer, "entries", None),
        count=request.count,
        feature_fn=feature_fn,
        feature_name=feature_name,
        own=None if own is None else [example.image for example in own],
    )


def _own(request: EvaluationRequest, size: Size, *, captioned: bool) -> list[Example]:
    """The user's pictures; errors as those of `open_own` and `examples_of`."""
    assert request.data is not None
    return examples_of(open_own(request.data, max_pixels=request.max_pixels), size, request.count, captioned=captioned)


def _own_report(
    request: EvaluationRequest,
    examples: Sequence[Example],
    scores: dict[str, float],
    size: Size,
    judge: str,
    *,
    judge_hash: str = "",
) -> dict[str, Any]:
    """The report of scores on the user's pictures and captions."""
    protocol = Protocol(
        reference=f"{len(examples)} captioned pictures of the user",
        count=len(examples),
        size=size,
        resize="central part, antialiased Lanczos",
        judge=judge,
        judge_hash=judge_hash,
        reference_hash=pictures_hash((e.image for e in examples), (e.caption for e in examples)),
        seed=request.seed,
    )
    return report(request.name, weights_hash(request.name), protocol, scores)


def generator_scores(model: TextToImage, request: EvaluationRequest) -> dict[str, Any]:
    """Prompt accuracy and distance of a model that draws captions, with its own guidance and steps."""

    side = min(extent(model.tokenizer.size))

    def draw(prompts: list[str], batch_seed: int) -> Image:
        images = model.images(prompts, [derive_seed(batch_seed, i) for i in range(len(prompts))])
        top, left = ((edge - side) // 2 for edge in images.shape[-2:])  # what is drawn lies in the central square
        return images[..., top : top + side, left : left + side]

    feature_fn, feature_name = _feature_net(request)
    if request.data is not None:
        examples, judge = _own(request, side, captioned=True), load("features")
        scores = drawing_scores(draw, examples, feature_fn or judge.pooled, request.seed)
        hashed = module_hash(judge) if feature_fn is None else ""
        return _own_report(request, examples, scores, side, feature_name or "limner features", judge_hash=hashed)
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
    if request.data is not None:
        size = model.encoder.size
        examples = _own(request, size, captioned=True)
        return _own_report(request, examples, matching_scores(model, examples), size, "cosine similarity")
    return evaluate_encoder(
        model.encoder, model, model=request.name, weights=weights_hash(request.name), count=request.count
    )


def recogniser_scores(model: Recogniser, request: EvaluationRequest) -> dict[str, Any]:
    """How often the recogniser reads real pictures right: held-out scenes (1,000), held-out compositions, all emoji."""
    if request.data is not None:
        raise InputError("a recogniser knows limner's own shapes and emoji alone: evaluate it without --data")
    count = request.count or 1_000
    scores = dict(read_scenes(model, Scenes(0, split="heldout", objects=(1, 2)), count))
    unseen = read_scenes(model, Scenes(0, split="compositions", objects=(1, 2)), count)
    scores |= {key.replace("read/", "read/compositions/"): value for key, value in unseen.items()}
    scores["read/name"] = RecogniserTraining(model, seed=request.seed).validate(model)["read/name"]
    protocol = Protocol(reference=f"{count} held-out scenes, {count} compositions, all emoji", count=count, size=64)
    return report(request.name, weights_hash(request.name), protocol, scores)


def vision_language_scores(model: VisionLanguageModel, request: EvaluationRequest) -> dict[str, Any]:
    """Answers about held-out scenes and about compositions that no training scene has; see `answering_scores`."""
    if request.data is not None:
        return _own_answers(model, request)
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
        judge="what was meant",
        reference_hash=pictures_hash(
            (one.image for one in every if one.image is not None),
            (text for one in every for turn in one.turns for text in turn),
        ),
    )
    return report(request.name, weights_hash(request.name), protocol, scores)


def _own_answers(model: VisionLanguageModel, request: EvaluationRequest) -> dict[str, Any]:
    """Descriptions of the user's captioned pictures, or answers to the questions of a file; see `answer_scores`.
    ``loss/own`` is the cross-entropy of the true answers in nats per subword."""
    assert request.data is not None
    if request.data.endswith(".jsonl"):
        return _own_questions(model, request)
    size = model.encoder.size
    source = own_conversations(request.data, request.pictures, size=size, max_pixels=request.max_pixels)
    rows = [source[i] for i in range(min(len(source), request.count or len(source)))]
    scores = {"loss/own": ConversationLesson(model, [], rows).cross_entropy(model)}
    scores |= answer_scores(answers_of(model), rows)
    protocol = Protocol(
        reference=f"{len(rows)} conversations of the user",
        count=len(rows),
        size=size,
        resize="padded with white, antialiased Lanczos",
        judge="what was meant",
        reference_hash=pictures_hash(
            (one.image for one in rows if one.image is not None),
            (text for one in rows for turn in one.turns for text in turn),
        ),
    )
    return report(request.name, weights_hash(request.name), protocol, scores)


def _own_questions(model: VisionLanguageModel, request: EvaluationRequest) -> dict[str, Any]:
    """Answers to a question set of the user, with options in four orders: ``qa/own``, the share of right ones, and
    ``unread/own``, that of answers without a readable pick. Errors as those of `read_questions`."""
    assert request.data is not None
    items, size, answers = read_questions(request.data)[: request.count], model.encoder.size, answers_of(model)

    def answer(image: UInt8[np.ndarray, "h w 3"] | None, question: str) -> str:
        return answers(None if image is None else [fit(image, size, "pad")], [question])[0]

    trials = ask(items, answer, with_image=True, shuffles=ORDERS, seed=request.seed)
    picked, right = picks(items, trials), rights(items)
    marks = [(pick in right[id], pick is None) for id, made in picked.items() for pick in made]
    scores = {
        "qa/own": sum(hit for hit, _ in marks) / len(marks),
        "unread/own": sum(no for _, no in marks) / len(marks),
    }
    protocol = Protocol(
        reference=f"{len(items)} questions of the user, options in {ORDERS} orders",
        count=len(trials),
        size=size,
        resize="padded with white, antialiased Lanczos",
        judge="what was meant",
        reference_hash=pictures_hash(
            (read_image(item.image) for item in items if item.image is not None),
            (text for item in items for text in (item.question, *item.options, *item.answers)),
        ),
        seed=request.seed,
    )
    return report(request.name, weights_hash(request.name), protocol, scores)

"""Scores of models on the user's own data, where the worlds have nothing to say.

    tokenizer    psnr/own, ssim/own, frechet/own, codebook/*     how close reconstructions come to the pictures
    generator    frechet/own                                     drawings of the captions, beside their pictures
    encoder      retrieval/own/*                                 which caption belongs to which picture
    answers      loss/own, words/own, qa/own                     nats per subword; words of captions; right answers

The pictures that training held out are those of `limner.data.own.held_out`; here all that are given are measured, so
give others than the model learned from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch

from limner.data.conversations import FREE, Conversation
from limner.data.images import Size, fit
from limner.data.own import Own
from limner.data.source import Example
from limner.encoders.encoder import ImageText
from limner.errors import InputError
from limner.evaluate.answering import AnswersFn
from limner.evaluate.extraction import same
from limner.evaluate.frechet import FeatureFn, frechet_distance, picture_moments
from limner.evaluate.linear_probe import over_pictures
from limner.evaluate.phrases import words
from limner.evaluate.prompts import DrawFn
from limner.evaluate.report import progress
from limner.evaluate.retrieval import recall_at
from limner.nn.pixels import to_tensor
from limner.types import Image, derive_seed

BATCH = 25
FEWEST = 2  # pictures that have a spread


def examples_of(own: Own, size: Size, count: int | None, *, captioned: bool) -> list[Example]:
    """The first ``count`` pictures (all, if None), the central part of the model's shape; ``captioned``: only those
    with a caption. Raises `InputError` if fewer than two are left."""
    chosen = [i for i, caption in enumerate(own.captions) if caption or not captioned][:count]
    if len(chosen) < FEWEST:
        what = "captioned pictures" if captioned else "pictures"
        raise InputError(f"the data hold {len(chosen)} {what} to measure on: give {FEWEST} or more")
    examples = (own[i] for i in chosen)
    return [Example(fit(one.image, size), one.caption, one.label) for one in examples]


@torch.no_grad()
def drawing_scores(draw: DrawFn, examples: Sequence[Example], features: FeatureFn, seed: int) -> dict[str, float]:
    """``frechet/own``: between drawings of captions and the pictures that have them."""
    drawn: list[Image] = []
    with progress("drawing captions", len(examples)) as advance:
        for start in range(0, len(examples), BATCH):
            captions = [example.caption for example in examples[start : start + BATCH]]
            drawn.append(draw(captions, derive_seed(seed, "own", start)).float().cpu().clamp(-1, 1))
            advance(len(captions))
    real = to_tensor([example.image for example in examples]).split(BATCH)
    return {"frechet/own": frechet_distance(picture_moments(drawn, features), picture_moments(real, features))}


@torch.no_grad()
def matching_scores(model: ImageText, examples: Sequence[Example]) -> dict[str, float]:
    """``retrieval/own/image_to_text@1`` and so on, among pictures whose captions are all different."""
    distinct = list({example.caption: example for example in examples}.values())
    if len(distinct) < FEWEST:
        raise InputError("all pictures have the same caption: give pictures with different ones")
    captions = [example.caption for example in distinct]
    text = torch.cat([model.encode_text(captions[at : at + BATCH]) for at in range(0, len(captions), BATCH)])
    similarity = over_pictures(model.encode_image, distinct) @ text.T
    both = (("image_to_text", similarity), ("text_to_image", similarity.T))
    return {f"retrieval/own/{name}@{rank}": recall_at(table, rank) for name, table in both for rank in (1, 5)}


def answer_scores(answers: AnswersFn, conversations: Sequence[Conversation]) -> dict[str, float]:
    """``words/own``: mean over captions of the F1 between their words and those of the description; ``qa/own``: share
    of right answers to other questions about a picture. Only what there is."""
    pairs = [(one.image, turn) for one in conversations if one.image is not None for turn in one.turns[:1]]
    if not pairs:
        return {}
    given = answers([image for image, _ in pairs], [turn.question for _, turn in pairs])
    scores: dict[str, list[float]] = {}
    for (_, turn), answer in zip(pairs, given, strict=True):
        if turn.kind == FREE[0]:
            scores.setdefault("words/own", []).append(f1(words(answer), words(turn.answer)))
        else:
            scores.setdefault("qa/own", []).append(float(same(answer, turn.answer, turn.question)))
    return {name: sum(values) / len(values) for name, values in scores.items()}


def f1(found: Sequence[str], true: Sequence[str]) -> float:
    """``2 |found & true| / (|found| + |true|)`` of two bags of words."""
    return 2 * (Counter(found) & Counter(true)).total() / max(len(found) + len(true), 1)

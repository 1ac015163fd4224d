"""A second view has its say in every word, alone and in a batch; and none where alpha is 0 or there is no picture."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from tests.unified.test_vision_language import build

from limner.decode.contrast import Contrast, apart, no_picture, together
from limner.errors import InputError
from limner.models.vision_language import VisionLanguageModel
from limner.types import Image


def negative(images: Image, questions: Sequence[str]) -> Image:
    """The view of every picture's negative."""
    return -images


def images() -> torch.Tensor:
    return torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


QUESTIONS = ["is it red ?", "what", "is it"]


def model() -> VisionLanguageModel:
    made = build().eval()
    torch.manual_seed(1)
    return made


@pytest.mark.parametrize("view", [negative, no_picture])
@pytest.mark.parametrize("combine", [apart, together])
def test_each_word_is_the_likeliest_of_both_views(view, combine) -> None:
    """The first word, from the logits of both prompts computed apart."""
    plain = model()
    contrast = Contrast(view, combine, alpha=2.0, least=0.05)
    changed = plain.changed(contrast=contrast)
    other = view(images(), QUESTIONS)
    with torch.no_grad():
        own = plain.first_words(plain.vectors(images()), QUESTIONS).log()
        free = plain.first_words(None if other is None else plain.vectors(other), QUESTIONS).log()
    wanted = contrast(own, free, 3.0).argmax(-1)
    words = [plain.vocabulary.text([row]) for row in wanted.tolist()]
    answers = changed.answers(images(), QUESTIONS, limit=1)
    assert answers == words
    assert answers == [changed.answers(images()[i : i + 1], QUESTIONS[i : i + 1], limit=1)[0] for i in range(3)]


def test_nothing_changes_without_weight_or_picture() -> None:
    plain = model()
    changed = plain.changed(contrast=Contrast(negative, together, alpha=0.0, least=0.1))
    assert changed.answers(images(), QUESTIONS) == plain.answers(images(), QUESTIONS)
    changed = plain.changed(contrast=Contrast(negative, together, alpha=3.0, least=0.1))
    assert changed.answers(None, QUESTIONS) == plain.answers(None, QUESTIONS)


def test_what_cannot_be() -> None:
    for alpha, least in ((-1.0, 0.1), (1.0, 0.0), (1.0, 1.5)):
        with pytest.raises(InputError, match="contrast nothing"):
            Contrast(negative, together, alpha, least)

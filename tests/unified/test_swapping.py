"""Another language model behind the same eyes: what stays, what changes, and what is refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from limner.connectors.bases import AllWords
from limner.connectors.basis import LanguageBasis
from limner.connectors.coefficients import Softmax
from limner.connectors.mlp import MlpConnector
from limner.connectors.scores import DenseHead
from limner.encoders.vit import VisionTransformer
from limner.errors import InputError
from limner.languages.subwords import Subwords
from limner.languages.transformer import LanguageTransformer
from limner.models.swapping import swapped
from limner.models.vision_language import VisionLanguageModel

WORDS = Subwords.trained(["a red heart left of a blue star"] * 5, size=40, length=8, speaks=True)


def language(width: int, rows: int = len(WORDS)) -> LanguageTransformer:
    return LanguageTransformer(rows, width=width, depth=1, heads=2)


@pytest.fixture
def vision_language() -> VisionLanguageModel:
    torch.manual_seed(0)
    connector = LanguageBasis(DenseHead(nn.Identity(), 32, len(WORDS)), Softmax(1.0), AllWords(len(WORDS)))
    encoder = VisionTransformer(size=16, patch=8, width=32, depth=1, heads=2)
    model = VisionLanguageModel(encoder, connector, language(32), WORDS).eval()
    connector.settle(model.language.words, encoder(pictures()).vectors)
    return model


def pictures() -> torch.Tensor:
    return torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


def reach(model: VisionLanguageModel) -> float:
    """How far its vectors lie from the mean of words, in lengths of a word from there."""
    words = model.language.words.detach()
    vectors = model.vectors(pictures()).detach() - words.mean(0)
    return float((vectors.square().mean() / words.var(0, unbiased=False).mean()).sqrt())


def test_coefficients_stay_and_words_are_the_others(vision_language: VisionLanguageModel) -> None:
    other = language(48)
    before = [value.clone() for value in vision_language.state_dict().values() if isinstance(value, torch.Tensor)]
    made = swapped(vision_language, other, WORDS, pictures())
    assert made.language is other
    assert reach(made) == pytest.approx(reach(vision_language), rel=1e-4)
    for old, new in zip(vision_language.words(pictures()[0]).patches, made.words(pictures()[0]).patches, strict=True):
        assert old == new
    after = [value for value in vision_language.state_dict().values() if isinstance(value, torch.Tensor)]
    assert all(torch.equal(*pair) for pair in zip(before, after, strict=True))


def test_back_again_is_where_it_was(vision_language: VisionLanguageModel) -> None:
    there = swapped(vision_language, language(48), WORDS, pictures())
    back = swapped(there, vision_language.language, WORDS, pictures())
    torch.testing.assert_close(back.vectors(pictures()), vision_language.vectors(pictures()), rtol=1e-4, atol=1e-4)


def test_the_control_speaks_the_wrong_words_as_loudly(vision_language: VisionLanguageModel) -> None:
    order = torch.arange(len(WORDS)).roll(1)
    made = swapped(vision_language, vision_language.language, WORDS, pictures(), order)
    assert made.image_tokens == vision_language.image_tokens
    assert reach(made) == pytest.approx(reach(vision_language), rel=1e-4)
    assert not torch.allclose(made.vectors(pictures()), vision_language.vectors(pictures()), atol=0.1)
    same = swapped(vision_language, vision_language.language, WORDS, pictures(), torch.arange(len(WORDS)))
    torch.testing.assert_close(same.vectors(pictures()), vision_language.vectors(pictures()), rtol=1e-4, atol=1e-4)


def test_other_words_are_refused(vision_language: VisionLanguageModel) -> None:
    others = Subwords.trained(["green rings above brown squares"] * 5, size=len(WORDS), length=8, speaks=True)
    with pytest.raises(InputError, match=r"number \d+ is '.+' in one and '.+' in the other"):
        swapped(vision_language, language(32), others, pictures())
    with pytest.raises(InputError, match=f"have {len(WORDS)} and 64 words"):
        swapped(vision_language, language(32, 64), WORDS, pictures())


def test_what_knows_no_words_cannot_be_swapped(vision_language: VisionLanguageModel) -> None:
    plain = VisionLanguageModel(vision_language.encoder, MlpConnector(32, 32), vision_language.language, WORDS)
    with pytest.raises(InputError, match="mixes no words"):
        swapped(plain, language(32), WORDS, pictures())
    placed = VisionLanguageModel(
        vision_language.encoder, vision_language.connector, vision_language.language, WORDS, placed=True
    )
    with pytest.raises(InputError, match="learned positions"):
        swapped(placed, language(32), WORDS, pictures())

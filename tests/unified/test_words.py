"""What each patch says, word by word."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from limner.connectors.bases import AllWords
from limner.connectors.basis import LanguageBasis
from limner.connectors.coefficients import Softmax
from limner.connectors.connector import Connector
from limner.connectors.mlp import MlpConnector
from limner.connectors.resampler import Resampler
from limner.connectors.scores import DenseHead
from limner.encoders.vit import VisionTransformer
from limner.errors import InputError
from limner.languages.subwords import Subwords
from limner.languages.transformer import LanguageTransformer
from limner.models.vision_language import VisionLanguageModel
from limner.unified.words import PatchWords, Weighed

SIZE, PATCH, WIDTH = 24, 8, 32


def vision_language(connector: Connector) -> VisionLanguageModel:
    torch.manual_seed(0)
    words = Subwords.trained(["a red heart left of a blue star"] * 5, size=60, length=8, speaks=True)
    encoder = VisionTransformer(size=SIZE, patch=PATCH, width=WIDTH, depth=1, heads=2)
    return VisionLanguageModel(
        encoder, connector, LanguageTransformer(len(words), width=WIDTH, depth=1, heads=2), words
    )


@pytest.fixture(scope="module")
def count() -> int:
    return len(vision_language(MlpConnector(WIDTH, WIDTH)).vocabulary)


@pytest.fixture
def picture() -> torch.Tensor:
    return torch.linspace(-1, 1, 3 * SIZE * SIZE).reshape(3, SIZE, SIZE)


def test_a_mixture_says_how_much_of_each_word_it_took(count: int, picture: torch.Tensor) -> None:
    basis = LanguageBasis(DenseHead(nn.Identity(), WIDTH, count), Softmax(1.0), AllWords(count))
    model = vision_language(basis)
    read = model.words(picture, count)
    assert (read.grid, read.reading) == ((3, 3), "mixture")
    coefficients = basis.coefficients(model.encoder(picture[None]).vectors, model.language.words)[0, 5]
    patch = read.patches[1][2]
    assert [weight for _, weight in patch] == pytest.approx(coefficients.sort(descending=True).values.tolist())
    assert patch[0].word == model.vocabulary.word(int(coefficients.argmax()))
    assert model.words(picture, 2).patches[1][2] == patch[:2]
    assert sum(weight for _, weight in read.heaviest(count)) == pytest.approx(1.0, abs=1e-4)


def test_of_other_vectors_the_nearest_words_are_read(picture: torch.Tensor) -> None:
    model = vision_language(MlpConnector(WIDTH, WIDTH))
    row = model.vocabulary.ids("heart")[0]
    with torch.no_grad():
        model.connector.fc2.weight.zero_()
        model.connector.fc2.bias.copy_(model.language.words[row])
    read = model.words(picture, 3)
    assert read.reading == "logit lens"
    for patch in (patch for patches in read.patches for patch in patches):
        assert patch[0].word == model.vocabulary.word(row)
        assert patch[0].weight == pytest.approx(1.0, abs=1e-5)
        assert patch[1].weight < 0.9


def test_vectors_that_belong_to_no_patch_have_no_words(picture: torch.Tensor) -> None:
    model = vision_language(Resampler(WIDTH, (SIZE // PATCH) ** 2, WIDTH, queries=4))
    with pytest.raises(InputError, match="4 vectors of 9 patches"):
        model.words(picture)


def test_there_are_as_many_words_as_there_are(count: int, picture: torch.Tensor) -> None:
    model = vision_language(MlpConnector(WIDTH, WIDTH))
    assert len(model.words(picture, 10_000).patches[0][0]) == count
    with pytest.raises(InputError, match="of a patch is 0"):
        model.words(picture, 0)


def test_the_heaviest_words_are_means_over_patches() -> None:
    red, blue = Weighed("red", 0.75), Weighed("blue", 0.25)
    read = PatchWords((((red,), (red, blue)), ((blue,), (blue, red))), "mixture")
    assert read.heaviest(1) == [Weighed("red", 0.5625)]
    assert read.to_json(5)["patches"][0][1] == [["red", 0.75], ["blue", 0.25]]
    assert read.to_json(1)["patches"][0][1] == [["red", 0.75]]

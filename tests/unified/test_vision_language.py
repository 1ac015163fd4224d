"""A vision-language model: what it learns to answer about images depends on the images."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from limner.connectors.connector import Connector, Query
from limner.connectors.mlp import MlpConnector
from limner.data.conversations import Turn
from limner.encoders.vit import VisionTransformer
from limner.errors import InputError
from limner.languages.subwords import Subwords
from limner.languages.transformer import LanguageTransformer
from limner.models.vision_language import VisionLanguageModel
from limner.types import Patches
from limner.unified.conversation import pack

COLOURS = {"red": (1.0, -1.0, -1.0), "green": (-1.0, 1.0, -1.0), "blue": (-1.0, -1.0, 1.0)}
ASKED = "what colour ?"


def plain(colour: str) -> torch.Tensor:
    return torch.tensor(COLOURS[colour])[:, None, None].expand(3, 16, 16)


def build(
    connector: Callable[[int, int], Connector] = MlpConnector, *, learns_to_see: bool = True
) -> VisionLanguageModel:
    torch.manual_seed(0)
    words = Subwords.trained([ASKED, "is it red ?", "yes no", *COLOURS] * 5, size=200, length=8, speaks=True)
    encoder = VisionTransformer(size=16, patch=8, width=32, depth=1, heads=2)
    language = LanguageTransformer(len(words), width=32, depth=1, heads=2, length=32)
    return VisionLanguageModel(encoder, connector(32, 32), language, words, learns_to_see=learns_to_see)


def train(model: VisionLanguageModel, steps: int = 100) -> list[float]:
    images = torch.stack([plain(colour) for colour in COLOURS])
    turns = [[Turn(ASKED, colour), Turn("is it red ?", "yes" if colour == "red" else "no")] for colour in COLOURS]
    packed = pack(turns, model.vocabulary, model.image_tokens)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    losses = []
    for _ in range(steps):
        loss = model.answer_loss(packed, model.hidden(packed, model.vectors(images)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


@pytest.fixture(scope="module")
def model() -> VisionLanguageModel:
    made = build()
    assert train(made)[-1] < 0.1
    return made.eval()


def test_it_says_what_it_sees(model: VisionLanguageModel) -> None:
    for colour in COLOURS:
        assert model.see(plain(colour), ASKED) == colour
    images = torch.stack([plain("red"), plain("blue"), plain("green")])
    assert model.answers(images, ["is it red ?", "is it red ?", ASKED]) == ["yes", "no", "green"]


def test_without_a_picture_it_can_only_guess(model: VisionLanguageModel) -> None:
    (guess,) = set(model.answers(None, [ASKED] * 3))
    assert isinstance(guess, str)


def test_an_encoder_that_does_not_learn_is_left_alone() -> None:
    model = build(learns_to_see=False)
    before = {name: value.clone() for name, value in model.encoder.state_dict().items()}
    losses = train(model, steps=5)
    assert losses[-1] < losses[0]
    assert all(torch.equal(value, before[name]) for name, value in model.encoder.state_dict().items())
    assert isinstance(model.connector, nn.Module)
    assert all(p.grad is not None for p in model.connector.parameters())


def test_pictures_must_fit_their_slots(model: VisionLanguageModel) -> None:
    packed = pack([[Turn(ASKED)]], model.vocabulary, model.image_tokens + 1)
    with pytest.raises(InputError, match="5 tokens of kind 'seen' were laid out, but 4 vectors"):
        model.embed(packed, model.vectors(plain("red")[None]))


def test_a_normalised_connector_gives_vectors_as_long_as_words() -> None:
    model = build(lambda features, width: MlpConnector(features, width, normalised=True))
    words = model.language.words
    vectors = model.vectors(plain("red")[None])
    torch.testing.assert_close(vectors.square().mean().sqrt(), words.square().mean().sqrt(), rtol=1e-3, atol=0)


def test_pictures_need_not_be_square(model: VisionLanguageModel) -> None:
    """As many tokens as patches, learned and answered about as those of a square."""
    wide = plain("blue")[:, :, :1].expand(3, 16, 24)[None]
    assert (model.count(16, 24), model.image_tokens) == (6, 4)
    packed = pack([[Turn(ASKED, "blue")]], model.vocabulary, model.count(16, 24))
    loss = model.answer_loss(packed, model.hidden(packed, model.vectors(wide)))
    loss.backward()
    assert float(loss.detach()) < 1
    assert model.answers(wide, [ASKED]) == ["blue"]


def test_a_reduction_reads_patches_and_the_question() -> None:
    model, seen = build().eval(), []

    def first(patches: Patches, query: Query | None) -> Patches:
        seen.append(None if query is None else query.shape)
        return patches.select(torch.zeros(len(patches.vectors), 1, dtype=torch.long))

    reduced = model.changed(reduce=first)
    assert (model.image_tokens, reduced.image_tokens) == (4, 1)
    reduced.answers(plain("red")[None].expand(2, -1, -1, -1), [ASKED, "is it red ?"])
    assert seen[0] is None
    assert seen[1] == (2, max(len(model.vocabulary.ids(text)) for text in (ASKED, "is it red ?")), 32)
    torch.testing.assert_close(reduced.vectors(plain("red")[None]), model.vectors(plain("red")[None])[:, :1])

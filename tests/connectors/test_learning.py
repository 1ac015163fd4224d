"""Through every connector a language model learns to say what it is shown."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from limner.connectors.bases import AllWords, Principal
from limner.connectors.basis import LanguageBasis
from limner.connectors.coefficients import Gumbel, Phi, Softmax, Sparsemax, TopK, Unconstrained
from limner.connectors.connector import Connector
from limner.connectors.ovis import OvisConnector
from limner.connectors.resampler import Resampler
from limner.connectors.scores import AttentionHead, DenseHead
from limner.connectors.ties import Stopped
from limner.data.conversations import Turn
from limner.encoders.vit import VisionTransformer
from limner.languages.subwords import Subwords
from limner.languages.transformer import LanguageTransformer
from limner.models.vision_language import VisionLanguageModel
from limner.unified.conversation import pack

COLOURS = {"red": (1.0, -1.0, -1.0), "green": (-1.0, 1.0, -1.0), "blue": (-1.0, -1.0, 1.0)}
ASKED, WIDTH = "what colour ?", 32


def words(phi: Phi, head: str = "dense") -> Callable[[int], Connector]:
    def make(vocabulary: int) -> Connector:
        scored = (
            DenseHead(nn.Identity(), WIDTH, vocabulary)
            if head == "dense"
            else AttentionHead(nn.Identity(), WIDTH, WIDTH)
        )
        return LanguageBasis(scored, phi, Stopped(AllWords(vocabulary)))

    return make


def principal(vocabulary: int) -> Connector:
    return LanguageBasis(DenseHead(nn.Identity(), WIDTH, 4), Unconstrained(), Principal(vocabulary, 4))


CONNECTORS: dict[str, Callable[[int], Connector]] = {
    "softmax": words(Softmax()),
    "sparsemax": words(Sparsemax()),
    "top-k": words(TopK(8)),
    "attention": words(Softmax(), "attention"),
    "principal": principal,
    "ovis": lambda vocabulary: OvisConnector(WIDTH, 40, WIDTH, Softmax(learned=False)),
    "ovis, gumbel": lambda vocabulary: OvisConnector(WIDTH, 40, WIDTH, Gumbel(1.0, 1.0)),
    "resampler": lambda vocabulary: Resampler(WIDTH, 4, WIDTH, queries=2),
}


@pytest.mark.slow
@pytest.mark.parametrize("make", CONNECTORS.values(), ids=CONNECTORS)
def test_it_learns_to_say_what_it_sees(make: Callable[[int], Connector]) -> None:
    torch.manual_seed(0)
    vocabulary = Subwords.trained([ASKED, *COLOURS] * 5, size=100, length=8, speaks=True)
    encoder = VisionTransformer(size=16, patch=8, width=WIDTH, depth=1, heads=2)
    language = LanguageTransformer(len(vocabulary), width=WIDTH, depth=1, heads=2, length=32)
    connector = make(len(vocabulary))
    images = torch.stack([torch.tensor(value)[:, None, None].expand(3, 16, 16) for value in COLOURS.values()])
    if isinstance(connector, LanguageBasis):
        with torch.no_grad():
            connector.settle(language.words, encoder(images).vectors)
    model = VisionLanguageModel(encoder, connector, language, vocabulary, learns_to_see=True)
    packed = pack([[Turn(ASKED, colour)] for colour in COLOURS], vocabulary, model.image_tokens)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(220):
        loss = model.answer_loss(packed, model.hidden(packed, model.vectors(images)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert model.eval().answers(images, [ASKED] * 3) == list(COLOURS)

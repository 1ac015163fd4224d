"""Laws of what reads less of a picture from layer to layer, for every score that is found in a technique."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest
import torch
from torch import Tensor

from limner.data.conversations import Turn
from limner.decode.text import complete
from limner.languages.transformer import LanguageTransformer
from limner.recipes import techniques
from limner.unified.conversation import pack, segments_of
from limner.unified.dropping import Dropping, Layer, Score, whole_rows
from limner.unified.segments import Packed, lay_out

WIDTH, PATCHES, STOP = 16, 9, 0


def scores() -> list[Score]:
    """Functions of two layers in any technique."""
    modules = [
        importlib.import_module(found.name)
        for found in pkgutil.walk_packages(techniques.__path__, techniques.__name__ + ".")
    ]
    own = [(kind, module) for module in modules for kind in vars(module).values() if inspect.isfunction(kind)]
    found = {
        kind
        for kind, module in own
        if kind.__module__ == module.__name__
        and [parameter.annotation for parameter in inspect.signature(kind).parameters.values()] == ["Layer", "Layer"]
    }
    return sorted(found, key=lambda kind: kind.__name__)


def by_length(layer: Layer, before: Layer) -> Tensor:
    """A score that needs no attention."""
    return layer.x.square().mean(-1)


SCORES = [*scores(), by_length]


class Letters:
    """A vocabulary of letters."""

    def end(self) -> int:
        return STOP

    def ids(self, text: str) -> list[int]:
        return [1 + ord(letter) % 20 for letter in text]

    def prompt_ids(self, question: str) -> list[int]:
        return self.ids(question)

    def text(self, ids: list[int]) -> str:
        return str(ids)

    def word(self, row: int) -> str:
        return str(row)


def language() -> LanguageTransformer:
    torch.manual_seed(0)
    return LanguageTransformer(24, width=WIDTH, depth=4, heads=2, length=64).eval()


def rows(answered: bool = False) -> tuple[Packed, Tensor]:
    """Three rows of unlike length: two pictures, and a question without one."""
    turns = [[Turn("what is it", "ab" if answered else "")], [Turn("red", "c" if answered else "")]]
    pictured = pack(turns, Letters(), PATCHES)
    return pictured, torch.randn(2, PATCHES, WIDTH, generator=torch.Generator().manual_seed(1))


def embedded(model: LanguageTransformer, packed: Packed, vectors: Tensor) -> Tensor:
    x = model.embed(packed.ids)
    return x.masked_scatter(packed.of("seen")[..., None], vectors)


def halving(layer: int) -> float:
    return (1.0, 1.0, 0.5, 0.2)[layer]


@pytest.mark.parametrize("score", SCORES, ids=lambda score: score.__name__)
@pytest.mark.parametrize("recount", [True, False])
@torch.no_grad()
def test_keeping_all_is_the_plain_model_to_the_bit(score: Score, recount: bool) -> None:
    model, (packed, vectors) = language(), rows()
    x = embedded(model, packed, vectors)
    plain = whole_rows(model, packed)(x, packed.positions, packed.visible())
    kept = Dropping(lambda layer: 1.0, score, recount)(model, packed)
    assert torch.equal(kept(x, packed.positions, packed.visible()), plain)


@pytest.mark.parametrize("score", SCORES, ids=lambda score: score.__name__)
@pytest.mark.parametrize("recount", [True, False])
@torch.no_grad()
def test_what_is_written_with_a_cache_is_what_is_written_without(score: Score, recount: bool) -> None:
    model, (packed, vectors) = language(), rows()
    x, limit = embedded(model, packed, vectors), 4
    dropping = Dropping(halving, score, recount)(model, packed)
    cache = dropping.cache(packed.ids.shape[1] + limit)
    ids = torch.randint(1, 20, (2, limit), generator=torch.Generator().manual_seed(2))
    states = [dropping(x, packed.positions, packed.visible(), cache)]
    total, lengths = packed.ids.shape[1], packed.lengths()
    for step in range(limit):
        index = torch.arange(total + step + 1)
        visible = (index < lengths[:, None]) | (index >= total)
        states.append(dropping(model.embed(ids[:, step : step + 1]), lengths[:, None] + step, visible[:, None], cache))
        again = Dropping(halving, score, recount)(model, packed)
        places = torch.cat([packed.positions, lengths[:, None] + torch.arange(step + 1)], 1)
        whole = torch.zeros(2, total + step + 1, total + step + 1, dtype=torch.bool)
        whole[:, :total, :total] = packed.visible()
        whole[:, total:] = visible[:, None] & (index <= torch.arange(total, total + step + 1)[:, None])
        whole[:, :, :] |= torch.eye(total + step + 1, dtype=torch.bool)
        found = again(torch.cat([x, model.embed(ids[:, : step + 1])], 1), places, whole)
        torch.testing.assert_close(states[-1][:, 0], found[:, -1], rtol=1e-4, atol=1e-5)
    held = [cache.length(layer) for layer in range(4)]
    longest, dropped = int(lengths.max()), [0, 0, PATCHES - PATCHES // 2, PATCHES - int(PATCHES * 0.2)]
    assert held[2:] == [longest - gone + limit for gone in dropped[2:]]


@pytest.mark.parametrize("score", SCORES, ids=lambda score: score.__name__)
@torch.no_grad()
def test_rows_read_together_are_read_as_one_by_one(score: Score) -> None:
    """Rows of unlike length, and rows that have no picture beside rows that have one."""
    model, (_, vectors), vocabulary = language(), rows(), Letters()
    texts = ["what is it", "red", "how many of them are blue"]
    segments = [segments_of([Turn(text)], vocabulary, PATCHES * (row < 2)) for row, text in enumerate(texts)]

    def written(rows: list[int]) -> Tensor:
        packed = lay_out([segments[row] for row in rows])
        x = embedded(model, packed, torch.cat([vectors[row] for row in rows if row < 2] or [vectors[0, :0]]))
        reader = Dropping(halving, score)(model, packed)
        return complete(reader, x, packed.visible(), packed.lengths(), stop=STOP, limit=3)

    for row, found in enumerate(written([0, 1, 2])):
        alone = written([row])[0]
        assert torch.equal(found[: len(alone)], alone[: len(found)])


@torch.no_grad()
def test_the_highest_scores_stay_and_the_rest_is_read_no_more() -> None:
    """A token that is dropped before layer 2 may change after that as it likes."""
    model, (packed, vectors) = language(), rows()
    dropping = Dropping(halving, by_length)(model, packed)
    x = embedded(model, packed, vectors)
    hidden = dropping(x, packed.positions, packed.visible())
    left = (hidden[:, :PATCHES].abs().sum(-1) > 0).sum(1)
    assert left.tolist() == [int(PATCHES * 0.2)] * 2
    assert (hidden[0, PATCHES:].abs().sum(-1) > 0).all()


def test_gradients_reach_what_is_kept() -> None:
    model, (packed, vectors) = language(), rows(answered=True)
    vectors.requires_grad_(True)
    x = embedded(model, packed, vectors)
    hidden = Dropping(halving, by_length)(model, packed)(x, packed.positions, packed.visible())
    learned = packed.targets >= 0
    torch.nn.functional.cross_entropy(model.logits(hidden[learned][None])[0], packed.targets[learned]).backward()
    assert vectors.grad is not None
    assert vectors.grad.abs().sum() > 0

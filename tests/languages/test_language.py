"""The language model and its sight: who sees whom, exact caches, and speech that follows what was learnt."""

from __future__ import annotations

import pytest
import torch

from limner.decode.text import complete
from limner.errors import InputError
from limner.generators.heads.head import SamplingOptions
from limner.languages.language import LanguageModel, visibility
from limner.languages.transformer import LanguageTransformer
from limner.types import Rng

STOP = 9


@pytest.fixture(scope="module")
def language() -> LanguageTransformer:
    torch.manual_seed(0)
    return LanguageTransformer(10, width=32, depth=2, heads=2, length=32).eval()


def causal(batch: int, count: int) -> torch.Tensor:
    return visibility(torch.zeros(batch, count).long(), torch.zeros(batch, count).long())


def places(batch: int, count: int) -> torch.Tensor:
    return torch.arange(count).expand(batch, -1)


def test_it_is_a_language_model(language: LanguageTransformer) -> None:
    assert isinstance(language, LanguageModel)
    assert language.words is language.table.weight


def test_sight() -> None:
    """A picture of two slots, then two questions that do not see each other, then padding."""
    segments = torch.tensor([[0, 0, 0, 1, 1, 2, -1]])
    pictures = torch.tensor([[0, 1, 1, 0, 0, 0, 0]])
    rows = ["1000000", "1110000", "1110000", "1111000", "1111100", "1110010", "0000001"]
    assert visibility(segments, pictures)[0].int().tolist() == [[int(sign) for sign in row] for row in rows]


def test_pictures_beside_each_other_are_not_seen_ahead() -> None:
    pictures = torch.tensor([[1, 1, 2, 2]])
    rows = ["1100", "1100", "1111", "1111"]
    assert visibility(torch.zeros(1, 4).long(), pictures)[0].int().tolist() == [[int(s) for s in row] for row in rows]


@torch.no_grad()
def test_what_is_not_seen_changes_nothing(language: LanguageTransformer) -> None:
    x = torch.randn(1, 6, 32)
    other = x.clone()
    other[:, 4:] = torch.randn(1, 2, 32)
    first, second = (language(one, places(1, 6), causal(1, 6)) for one in (x, other))
    assert torch.equal(first[:, :4], second[:, :4])
    assert (first[:, 4:] - second[:, 4:]).abs().amax(-1).min() > 0.1


@torch.no_grad()
def test_only_the_distance_of_places_matters(language: LanguageTransformer) -> None:
    x = torch.randn(1, 5, 32)
    near, far = (language(x, places(1, 5) + shift, causal(1, 5)) for shift in (0, 20))
    torch.testing.assert_close(near, far, rtol=1e-4, atol=1e-5)
    moved = language(x, places(1, 5) * 2, causal(1, 5))
    assert (near - moved).abs().max() > 1e-3


@torch.no_grad()
def test_the_cache_changes_nothing(language: LanguageTransformer) -> None:
    x = torch.randn(2, 7, 32)
    whole = language(x, places(2, 7), causal(2, 7))
    cache, parts = language.cache(7), []
    for start, stop in ((0, 3), (3, 4), (4, 7)):
        seen = causal(2, 7)[:, start:stop, :stop]
        parts.append(language(x[:, start:stop], places(2, 7)[:, start:stop], seen, cache))
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=1e-4, atol=1e-5)


def test_a_text_that_is_too_long_is_refused(language: LanguageTransformer) -> None:
    with pytest.raises(InputError, match="33 tokens is longer than this model's 32"):
        language(torch.zeros(1, 33, 32), places(1, 33), causal(1, 33))
    with pytest.raises(InputError, match="30 channels do not divide into 4 heads"):
        LanguageTransformer(10, width=30, depth=1, heads=4)


@pytest.fixture(scope="module")
def counter() -> LanguageTransformer:
    """A model that has learnt to count up to the stop."""
    torch.manual_seed(0)
    model = LanguageTransformer(10, width=32, depth=1, heads=2, length=32)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    start = torch.arange(8)[:, None]
    ids = (start + torch.arange(6)).clamp_max(STOP)
    for _ in range(60):
        hidden = model(model.embed(ids[:, :-1]), places(8, 5), causal(8, 5))
        loss = torch.nn.functional.cross_entropy(model.logits(hidden).flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1
    return model.eval()


def test_it_says_what_it_learnt_and_stops(counter: LanguageTransformer) -> None:
    """Prompts of different lengths speak together as they speak alone."""
    prompts, lengths = torch.tensor([[3, 4, 5], [7, 0, 0]]), torch.tensor([3, 1])
    spoken = complete(counter, counter.embed(prompts), causal(2, 3), lengths, stop=STOP, limit=8)
    assert spoken.tolist() == [[6, 7, 8, 9], [8, 9, 9, 9]]
    alone = complete(counter, counter.embed(prompts[1:, :1]), causal(1, 1), lengths[1:], stop=STOP, limit=8)
    assert alone.tolist() == [[8, 9]]
    assert complete(counter, counter.embed(prompts), causal(2, 3), lengths, stop=STOP, limit=2).shape == (2, 2)


def test_temperature_draws_from_the_distribution(language: LanguageTransformer) -> None:
    prompt = language.embed(torch.zeros(4000, 1).long())
    drawn = complete(
        language,
        prompt,
        causal(4000, 1),
        torch.ones(4000).long(),
        stop=-1,
        limit=1,
        options=SamplingOptions(temperature=2.0),
        rng=Rng(0),
    )
    with torch.no_grad():
        logits = language.logits(language(prompt[:1], places(1, 1), causal(1, 1)))[0, 0]
    wanted = (logits / 2.0).softmax(-1)
    found = torch.bincount(drawn[:, 0], minlength=10) / 4000
    assert (found - wanted).abs().max() < 0.03

"""A language model that draws: its backbone keeps the law of steps, and what it learns it draws."""

from __future__ import annotations

import torch

from limner.decode.decoder import Decoder
from limner.generators.generator import Generator
from limner.generators.heads.head import SamplingOptions
from limner.generators.heads.regression import RegressionHead
from limner.generators.orders import RandomMasked
from limner.languages.transformer import LanguageTransformer
from limner.types import Layout, Rng
from limner.unified.drawing import LanguageBackbone, WordCondition, WordSpan

COUNT, WORDS, WIDTH, CHANNELS = 4, 3, 32, 2


def build() -> tuple[LanguageTransformer, Generator]:
    torch.manual_seed(0)
    language = LanguageTransformer(12, width=WIDTH, depth=1, heads=2, length=16)
    generator = Generator(
        layout=Layout(((COUNT,),)),
        order=RandomMasked(),
        backbone=LanguageBackbone(language, COUNT),
        head=RegressionHead(CHANNELS, WIDTH),
        condition=WordCondition(language, WORDS),
        embed=WordSpan(CHANNELS, language.words, rank=4),
    )
    return language, generator


@torch.no_grad()
def test_contexts_depend_on_earlier_steps_alone() -> None:
    _, generator = build()
    tokens, steps = torch.randn(2, COUNT, CHANNELS), torch.tensor([[1, 2, 1, 2], [2, 1, 2, 1]])
    prefix = generator.condition(torch.ones(2, WORDS).long(), torch.tensor([False, False]))
    wanted = (steps == 2).nonzero()[:, 1].reshape(2, 2)
    first = generator.contexts(tokens, steps, prefix, wanted)
    changed = torch.where((steps == 2)[..., None], torch.randn_like(tokens), tokens)
    assert torch.equal(generator.contexts(changed, steps, prefix, wanted), first)
    changed = torch.where((steps == 1)[..., None], torch.randn_like(tokens), tokens)
    assert (generator.contexts(changed, steps, prefix, wanted) - first).abs().amax(-1).min() > 1e-3
    other = generator.condition(torch.zeros(2, WORDS).long(), torch.tensor([False, False]))
    assert (generator.contexts(tokens, steps, other, wanted) - first).abs().amax(-1).min() > 1e-3


def test_the_language_model_is_shared_and_saved_once() -> None:
    language, generator = build()
    assert not any("table" in name or "blocks" in name for name in generator.state_dict())
    loss = generator.loss(torch.randn(8, COUNT, CHANNELS), torch.ones(8, WORDS).long(), Rng(0))
    loss.backward()
    assert all(p.grad is not None for p in language.blocks.parameters())


def test_what_it_learns_it_draws() -> None:
    """Caption 1 means tokens of 1, caption 2 tokens of -1."""
    language, generator = build()
    parameters = [*language.parameters(), *generator.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=5e-3)
    given = torch.tensor([[1, 0, 0], [2, 0, 0]]).repeat(8, 1)
    tokens = torch.tensor([1.0, -1.0]).repeat(8)[:, None, None].expand(16, COUNT, CHANNELS)
    for step in range(60):
        loss = generator.loss(tokens, given, Rng(step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    drawn = Decoder(generator, SamplingOptions())(given[:2], Rng([0, 1]))
    assert (drawn[0] - 1).abs().max() < 0.3
    assert (drawn[1] + 1).abs().max() < 0.3


def test_word_span_stays_in_the_span_of_the_leading_words() -> None:
    torch.manual_seed(0)
    words = torch.randn(50, 8) * torch.tensor([5.0, 4, 3, 2, 0.1, 0.1, 0.1, 0.1]) + 2.0
    span = WordSpan(CHANNELS, words, rank=4)
    with torch.no_grad():
        centred = span(torch.randn(1, 100, CHANNELS))[0] - words.mean(0)
        _, _, axes = torch.linalg.svd(words - words.mean(0), full_matrices=False)
        assert (centred @ axes[4:].T).abs().max() < 1e-4
        spread = span.directions.norm(dim=1)
        torch.testing.assert_close(spread, ((words - words.mean(0)) @ axes[:4].T).square().mean(0).sqrt())

"""The sampling loop: a batch is its pictures drawn one by one, guidance of 1 is none, and a cache changes no token."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from limner.decode import step as step_module
from limner.decode.decoder import Decoder
from limner.decode.schedules import (
    Moment,
    Schedule,
    annealed,
    annealed_twice,
    constant,
    early,
    linear,
    power_cosine,
    with_known,
)
from limner.decode.step import most_confident, proposals
from limner.errors import InputError
from limner.generators.backbones.backbone import Backbone
from limner.generators.backbones.bert import Bert
from limner.generators.backbones.causal import CausalTransformer
from limner.generators.backbones.diagonal import DiagonalTransformer
from limner.generators.backbones.llama import LlamaTransformer
from limner.generators.backbones.masked import MaskedAutoencoder
from limner.generators.backbones.rar import AdaptiveCausalTransformer
from limner.generators.conditions import ClassCondition, TextCondition
from limner.generators.generator import Generator, predicted
from limner.generators.heads.categorical import CategoricalHead, LinearCategoricalHead
from limner.generators.heads.diffusion import DiffusionHead
from limner.generators.heads.head import Head, SamplingOptions
from limner.generators.heads.mixture import MixtureHead
from limner.generators.heads.regression import RegressionHead
from limner.generators.orders import ArccosMasked, Diagonals, Order, Permuted, RandomMasked, Raster
from limner.types import Layout, Rng

COUNT, PREFIX, WIDTH, CHANNELS, CLASSES = 9, 2, 16, 3, 5
LAYOUT = Layout(((3, 3),))
LABELS = torch.tensor([4, 0, 2])
SEEDS = [11, 12, 13]


def categorical() -> Head:
    return CategoricalHead(20, WIDTH)


def diffusion() -> Head:
    return DiffusionHead(CHANNELS, WIDTH, width=16, depth=1, draws=2, steps=range(0, 901, 100))


def mixture() -> Head:
    return MixtureHead(CHANNELS, WIDTH, components=2)


def regression() -> Head:
    return RegressionHead(CHANNELS, WIDTH)


def backbone(order: Order) -> Backbone:
    if isinstance(order, Raster):
        return CausalTransformer(count=COUNT, prefix=PREFIX, width=WIDTH, depth=2, heads=2)
    if isinstance(order, Permuted):
        return AdaptiveCausalTransformer(count=COUNT, prefix=PREFIX, width=WIDTH, depth=2, heads=2)
    if isinstance(order, ArccosMasked):
        return Bert(count=COUNT, prefix=PREFIX, width=WIDTH, depth=2, heads=2, hidden=32)
    return MaskedAutoencoder(count=COUNT, prefix=PREFIX, width=WIDTH, encoder_depth=1, decoder_depth=1, heads=2)


def generator(order: Order, head: Callable[[], Head], corrupt: float = 0.0, drop: float = 0.1) -> Generator:
    """A random generator whose condition matters and whose head's zero layers are not zero."""
    torch.manual_seed(0)
    made = Generator(
        layout=LAYOUT,
        order=order,
        backbone=backbone(order),
        head=head(),
        condition=ClassCondition(CLASSES, WIDTH, PREFIX),
        corrupt=corrupt,
        drop=drop,
        known_weight=0.1 if isinstance(order, ArccosMasked) else None,
    )
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return made.eval()


KINDS = [
    pytest.param(order, head, id=f"{type(order).__name__}-{head.__name__}")
    for order in (Raster(), Permuted(), RandomMasked())
    for head in (categorical, diffusion, mixture, regression)
]
KINDS += [pytest.param(ArccosMasked(), head, id=f"ArccosMasked-{head.__name__}") for head in (categorical, mixture)]


def assert_same(found: Tensor, wanted: Tensor) -> None:
    """Equal ids, or latents that differ by rounding."""
    if wanted.is_floating_point():
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5 * float(wanted.abs().max()))
    else:
        assert torch.equal(found, wanted)


@pytest.mark.parametrize("guidance", [1.0, 2.5])
@pytest.mark.parametrize(("order", "head"), KINDS)
def test_a_batch_is_its_pictures_one_by_one(order: Order, head: Callable[[], Head], guidance: float) -> None:
    decoder = Decoder(generator(order, head), SamplingOptions(guidance=guidance))
    together = decoder(LABELS, Rng(SEEDS))
    for row, seed in enumerate(SEEDS):
        assert_same(decoder(LABELS[row : row + 1], Rng([seed])), together[row : row + 1])
    assert not torch.equal(together[0], together[1])


@pytest.mark.parametrize(("order", "head"), KINDS)
def test_guidance_of_one_is_none(order: Order, head: Callable[[], Head]) -> None:
    """The guided formula at 1 gives what the conditional branch alone gives."""
    torch.manual_seed(1)
    made = generator(order, head).head
    both = torch.randn(4, 4, WIDTH)
    with torch.no_grad():
        guided = made.sample(both, True, SamplingOptions(guidance=1.0), Rng([5, 6]))
        assert_same(guided, made.sample(both[:2], False, SamplingOptions(), Rng([5, 6])))
        pushed = made.sample(both, True, SamplingOptions(guidance=4.0), Rng([5, 6]))
    assert not torch.equal(pushed, guided)


@pytest.mark.parametrize("order", [Raster(), Permuted()])
@pytest.mark.parametrize("head", [categorical, mixture])
def test_the_cache_changes_no_picture(head: Callable[[], Head], order: Order) -> None:
    made = generator(order, head)
    drawn = [
        Decoder(made, SamplingOptions(guidance=2.0), cached=cached)(LABELS, Rng(SEEDS)) for cached in (True, False)
    ]
    assert_same(drawn[0], drawn[1])


@pytest.mark.parametrize("guided", [2, 5, 9])
def test_a_cache_is_read_for_as_long_as_guidance_lasts(guided: int) -> None:
    """Unconditional rows are left out once no later step wants them; pictures stay."""
    made = generator(Raster(), categorical)
    rows: list[int] = []
    made.backbone.register_forward_hook(lambda module, inputs, output: rows.append(len(output)))
    options = {"guidance": early(guided - 1), "options": SamplingOptions(guidance=2.0)}
    kept = Decoder(made, **options)(LABELS, Rng(SEEDS))
    assert rows == [6] * guided + [3] * (COUNT - guided)
    assert torch.equal(kept, Decoder(made, **options, cached=False)(LABELS, Rng(SEEDS)))


# Slots: LlamaGen and NAR

SLOTTED = {"llamagen": (Raster(), LlamaTransformer), "nar": (Diagonals(), DiagonalTransformer)}


def slotted(name: str) -> Generator:
    """A random generator of small sizes, of which every weight matters."""
    torch.manual_seed(0)
    order, kind = SLOTTED[name]
    trunk = kind(grid=(3, 3), prefix=PREFIX, width=WIDTH, depth=2, heads=2, hidden=32)
    made = Generator(
        layout=LAYOUT,
        order=order,
        backbone=trunk,
        head=LinearCategoricalHead(20, WIDTH, context=trunk.width, bias=False),
        condition=ClassCondition(CLASSES, WIDTH, PREFIX),
        drop=0.5,
    )
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return made.eval()


@pytest.mark.parametrize("guidance", [1.0, 2.5])
@pytest.mark.parametrize("name", SLOTTED)
def test_slots_draw_a_batch_as_its_pictures_with_a_cache_or_without(name: str, guidance: float) -> None:
    decoder = Decoder(slotted(name), SamplingOptions(guidance=guidance, top_k=8))
    together = decoder(LABELS, Rng(SEEDS))
    for row, seed in enumerate(SEEDS):
        assert torch.equal(decoder(LABELS[row : row + 1], Rng([seed])), together[row : row + 1])
    assert torch.equal(replace(decoder, cached=False)(LABELS, Rng(SEEDS)), together)
    assert not torch.equal(decoder(LABELS.roll(1), Rng(SEEDS)), together)


@pytest.mark.parametrize("name", SLOTTED)
def test_the_loss_of_slots_reaches_every_parameter(name: str) -> None:
    made = slotted(name).train()
    made.loss(torch.randint(0, 20, (8, COUNT)), torch.arange(8) % CLASSES, Rng(0)).backward()
    assert not [name for name, p in made.named_parameters() if p.grad is None or not p.grad.any()]


# Ranked


def ranked(guidance: float = 1.0, schedule: Schedule = linear) -> Decoder:
    options = SamplingOptions(guidance=guidance, temperature=2.0)
    return Decoder(generator(ArccosMasked(), categorical), options, 4, schedule, annealed, step=most_confident)


@pytest.mark.parametrize("guidance", [1.0, 4.0])
def test_a_ranked_batch_is_its_pictures_one_by_one(guidance: float) -> None:
    decoder = ranked(guidance)
    together = decoder(LABELS, Rng(SEEDS))
    for row, seed in enumerate(SEEDS):
        assert torch.equal(decoder(LABELS[row : row + 1], Rng([seed])), together[row : row + 1])
    assert not torch.equal(together[0], together[1])


def test_ranking_keeps_the_plan_and_what_is_known() -> None:
    """As many tokens per step as planned, and neither a known token nor its step ever changes."""
    decoder = ranked()
    plan = decoder.generator.order.decoding_steps(len(LABELS), LAYOUT, 4, Rng(5))
    seen = [(torch.zeros(3, COUNT, dtype=torch.long), plan)]
    decoder(LABELS, Rng(SEEDS), plan=plan, watch=lambda step, total, *now: seen.append(now))
    assert len(seen) == 5
    for step, ((before, was), (tokens, steps)) in enumerate(pairwise(seen), 1):
        assert torch.equal(steps.sort(1).values, plan.sort(1).values)
        known = was < step
        assert torch.equal(tokens[known], before[known])
        assert torch.equal(steps[known], was[known])
        assert not tokens[steps > step].any()
    assert not torch.equal(seen[-1][1], plan)


def test_the_surest_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Tensor, Tensor]] = []

    def noted(*arguments: Any) -> tuple[Tensor, Tensor]:
        seen.append(proposals(*arguments))
        return seen[-1]

    monkeypatch.setattr(step_module, "proposals", noted)
    unknown = torch.ones(3, COUNT, dtype=torch.bool)

    def watch(step: int, total: int, tokens: Tensor, steps: Tensor) -> None:
        ids, confidence = seen[-1]
        now = (steps == step)[unknown].reshape(ids.shape)
        for row in range(3):
            assert now[row].all() or confidence[row][now[row]].min() > confidence[row][~now[row]].max()
        assert torch.equal(tokens[steps == step], ids[now])
        unknown.copy_(steps > step)

    ranked()(LABELS, Rng(SEEDS), watch=watch)
    assert not unknown.any()


def test_a_step_without_guidance_has_no_unconditional_pass() -> None:
    decoder = ranked(3.0)
    rows: list[int] = []
    decoder.generator.backbone.register_forward_hook(lambda module, inputs, output: rows.append(len(output)))
    decoder(LABELS, Rng(SEEDS))
    assert rows == [3, 6, 6, 6]


def test_a_head_without_confidence_cannot_rank() -> None:
    with pytest.raises(InputError, match="RegressionHead draws no ids"):
        Decoder(generator(RandomMasked(), regression), step=most_confident)(LABELS, Rng(SEEDS))


# Conditions and schedules


@pytest.mark.parametrize("order", [Raster(), Permuted(), RandomMasked(), ArccosMasked()])
def test_the_condition_is_heard(order: Order) -> None:
    decoder = Decoder(generator(order, regression))
    one, other = (decoder(torch.tensor([label]), Rng(0)) for label in (0, 1))
    assert (one - other).abs().amax((0, 2)).min() > 1e-3


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (constant, [3.0] * 4),
        (with_known, [1 + 2 * known / 9 for known in (1, 3, 6, 8)]),
        (linear, [1.0, 1.5, 2.0, 2.5]),
        (power_cosine(0.0), [3.0] * 4),
        (power_cosine(1.0), [1.0, 2.0 - 0.5**0.5, 2.0, 2.0 + 0.5**0.5]),
        (power_cosine(2.0), [2.0 - math.cos(math.pi * step**2 / 16) for step in range(4)]),
    ],
)
def test_schedules_of_guidance(schedule: Schedule, expected: list[float]) -> None:
    """``with_known`` grows with what will be known after the step; the last step counts one token as unknown."""
    made = generator(RandomMasked(), regression)
    told: list[float] = []

    class Listener(nn.Module):
        embed, blank = made.head.embed, made.head.blank

        def sample(self, contexts: Tensor, guided: bool, options: SamplingOptions, rng: Rng) -> Tensor:
            told.append(options.guidance)
            return head.sample(contexts, guided, options, rng)

    head, made.head = made.head, Listener()
    Decoder(made, SamplingOptions(guidance=3.0), 4, schedule)(LABELS, Rng(SEEDS))
    assert told == pytest.approx(expected)


def test_schedules_of_temperature() -> None:
    told = [Moment(step, 4, 0, 0, 9) for step in (1, 2, 3, 4)]
    assert [annealed(2.0, moment) for moment in told] == [1.5, 1.0, 0.5, 0.0]
    assert [annealed_twice(2.0, moment) for moment in told] == pytest.approx([1.5 * 1.1, 0.9, 0.5 * 0.7, 0.0])


def test_watching_sees_every_step_and_only_what_is_known() -> None:
    seen: list[tuple[int, int, int]] = []

    def watch(step: int, total: int, tokens: Tensor, steps: Tensor) -> None:
        assert not tokens[steps > step].any()
        seen.append((step, total, int(tokens.any(-1).sum())))

    decoder = Decoder(generator(RandomMasked(), regression), steps=4)
    decoder(LABELS, Rng(SEEDS), watch=watch)
    assert seen == [(1, 4, 3), (2, 4, 9), (3, 4, 18), (4, 4, 27)]


def test_negative_guidance_is_refused() -> None:
    with pytest.raises(InputError, match=r"guidance is -1\.0"):
        SamplingOptions(guidance=-1.0)


# The loss


@pytest.mark.parametrize(("order", "head"), KINDS)
def test_the_loss_reaches_every_parameter(order: Order, head: Callable[[], Head]) -> None:
    made = generator(order, head, drop=0.5).train()
    discrete = isinstance(made.head, CategoricalHead)
    tokens = torch.randint(0, 20, (8, COUNT)) if discrete else torch.randn(8, COUNT, CHANNELS)
    made.loss(tokens, torch.arange(8) % CLASSES, Rng(0)).backward()
    silent = [name for name, p in made.named_parameters() if p.grad is None or not p.grad.any()]
    allowed = {"backbone.start"} if isinstance(order, RandomMasked) else set()
    assert set(silent) <= allowed


def test_corruption_and_withheld_conditions_change_the_loss_of_known_tokens_only() -> None:
    tokens = torch.randint(0, 20, (4, COUNT), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        losses = [
            float(generator(Raster(), categorical, corrupt=corrupt, drop=drop).loss(tokens, torch.arange(4), Rng(3)))
            for corrupt, drop in ((0.0, 0.0), (0.5, 0.0), (0.0, 1.0))
        ]
    assert len(set(losses)) == 3
    assert losses == pytest.approx([losses[0]] * 3, rel=0.2)  # the targets stay what they are


def test_predicted_tokens_are_those_after_step_zero() -> None:
    assert predicted(torch.tensor([[0, 2, 1], [1, 0, 3]])).tolist() == [[1, 2], [0, 2]]


def test_a_withheld_caption_reads_as_nothing() -> None:
    torch.manual_seed(0)
    condition = TextCondition(30, WIDTH, count=4, depth=1, heads=2)
    given = torch.randint(0, 30, (2, 4))
    heard, withheld = (condition(given, torch.full((2,), dropped)) for dropped in (False, True))
    assert torch.equal(withheld.prefix, condition.nothing.expand(2, -1, -1))
    assert not torch.equal(heard.prefix[0], heard.prefix[1])

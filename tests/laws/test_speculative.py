"""Speculative decoding: what is accepted has the generator's law, and a batch is its pictures one by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from limner.decode.accepting import exact, pick, residual
from limner.decode.decoder import Decoder
from limner.decode.drafting import Drafts, Standing, write
from limner.decode.paths import Accept, Shape
from limner.decode.schedules import Schedule, constant, linear
from limner.decode.speculative import Speculative
from limner.errors import InputError
from limner.generators.backbones.causal import CausalTransformer
from limner.generators.backbones.llama import LlamaTransformer
from limner.generators.backbones.rar import AdaptiveCausalTransformer
from limner.generators.conditions import ClassCondition
from limner.generators.generator import Generator
from limner.generators.heads.categorical import LinearCategoricalHead
from limner.generators.heads.head import Head, SamplingOptions
from limner.generators.heads.regression import RegressionHead
from limner.generators.orders import Order, Permuted, RandomMasked, Raster
from limner.recipes.techniques.gsd import Knobs, grouped
from limner.types import Layout, Rng

WIDTH, CLASSES, ENTRIES = 16, 5, 12
LABELS, SEEDS = torch.tensor([4, 0, 2, 1]), [11, 12, 13, 14]


def causal(rows: int) -> nn.Module:
    return CausalTransformer(count=3 * rows, prefix=2, width=WIDTH, depth=2, heads=2)


def rar(rows: int) -> nn.Module:
    return AdaptiveCausalTransformer(count=3 * rows, prefix=2, width=WIDTH, depth=2, heads=2)


def llama(rows: int) -> nn.Module:
    return LlamaTransformer(grid=(rows, 3), prefix=2, width=WIDTH, depth=2, heads=2, hidden=32)


def generator(
    trunk: Callable[[int], nn.Module] = causal,
    rows: int = 4,
    entries: int = ENTRIES,
    order: Order | None = None,
    head: Head | None = None,
) -> Generator:
    """A random generator of which every token matters to the next."""
    torch.manual_seed(0)
    made = Generator(
        layout=Layout(((rows, 3),)),
        order=order or (Permuted() if trunk is rar else Raster()),
        backbone=trunk(rows),
        head=head or LinearCategoricalHead(entries, WIDTH),
        condition=ClassCondition(CLASSES, WIDTH, 2),
    )
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return made.eval()


def of_group(made: Generator, **knobs: float) -> Accept:
    return partial(grouped, embed=made.head.embed, knobs=Knobs(**knobs))


def passes(decoder: Decoder, labels: Tensor, rng: Rng) -> tuple[Tensor, int]:
    """What is drawn, and in how many passes of the backbone."""
    calls: list[int] = []
    hook = decoder.generator.backbone.register_forward_pre_hook(lambda module, inputs: calls.append(1))
    drawn = decoder(labels, rng)
    hook.remove()
    return drawn, len(calls)


def distributions(rows: int, entries: int, seed: int) -> Tensor:
    return (2 * torch.randn(rows, 1, entries, generator=torch.Generator().manual_seed(seed))).softmax(-1)


class Grid(Rng):
    """Uniform numbers, evenly spaced over the rows: what is counted over them is a probability."""

    def uniform(self, *shape: int) -> Tensor:
        return ((torch.arange(shape[0]) + 0.5) / shape[0])[:, None].expand(*shape)


# Accepting


@pytest.mark.parametrize("accept", [exact, of_group(generator())])
def test_drafts_of_the_law_itself_all_stay(accept: Accept) -> None:
    p = distributions(200, ENTRIES, 0)
    ids = torch.multinomial(p[:, 0], 1)
    kept, rest = accept(p, p, ids, Rng(0))
    assert kept.all()
    assert torch.equal(rest, p)


@pytest.mark.parametrize("seed", range(4))
def test_what_is_accepted_or_drawn_anew_has_the_law_of_p(seed: int) -> None:
    """``sum_x q(x) P(x stays) [x = y] + P(refused) residual(y) = p(y)``, every probability counted."""
    entries, numbers = 5, 20_000
    p, q = distributions(1, entries, seed), distributions(1, entries, 100 + seed)
    rest, law = residual(p, q)[0, 0], torch.zeros(entries)
    for x in range(entries):
        ids = torch.full((numbers, 1), x)
        kept, found = exact(p.expand(numbers, -1, -1), q.expand(numbers, -1, -1), ids, Grid(0))
        stays = kept.float().mean()
        torch.testing.assert_close(found[0, 0], rest)
        law[x] += q[0, 0, x] * stays
        law += q[0, 0, x] * (1 - stays) * rest
    torch.testing.assert_close(law, p[0, 0], rtol=0, atol=2e-4)


def test_a_pick_has_its_distribution() -> None:
    shares = distributions(1, 6, 3)
    shares[..., 2] = shares[..., 5] = 0.0
    shares /= shares.sum()
    ids = pick(shares.expand(30_000, -1, -1), Grid(0).uniform(30_000, 1))
    torch.testing.assert_close(torch.bincount(ids[:, 0], minlength=6) / 30_000, shares[0, 0], rtol=0, atol=1e-4)
    assert pick(shares, torch.tensor([[1 - 2**-24]])).item() == 4


def test_ids_are_written_behind_what_each_row_knows() -> None:
    tokens, ids = torch.zeros(3, 4, dtype=torch.long), torch.tensor([[1, 2], [3, 4], [5, 6]])
    assert write(tokens, torch.tensor([0, 3, 4]), ids).tolist() == [[1, 2, 0, 0], [0, 0, 0, 3], [0, 0, 0, 0]]


# Drawing


def whimsical(at: Standing, shape: Shape, rng: Rng) -> Drafts:
    """Drafts of a law that knows nothing of the generator's."""
    shares = distributions(1, at.fresh.shares.shape[-1], 7).expand_as(at.fresh.shares)
    return Drafts(pick(shares, rng.uniform(*at.fresh.ids.shape)), shares)


def law(decoder: Decoder, entries: int) -> dict[tuple[int, ...], float]:
    """The probability of every picture, by the product of what the head gives token after token."""
    made, count = decoder.generator, decoder.generator.count
    pictures = torch.tensor(list(product(range(entries), repeat=count)))
    shares = torch.ones(len(pictures))

    def noting(now, predictor, rng):
        targets = torch.full((len(pictures), 1), now.done)
        contexts, guided = predictor.contexts(now, targets)
        p = made.head.distribution(contexts, guided, predictor.options[now.done])[:, 0]
        shares.mul_(p.gather(1, pictures[:, now.done : now.done + 1])[:, 0])
        tokens = now.tokens.clone()
        tokens[:, now.done] = pictures[:, now.done]
        return now._replace(tokens=tokens, done=now.done + 1)

    replace(decoder, step=noting)(torch.full((len(pictures),), 2), Rng(0))
    return dict(zip(map(tuple, pictures.tolist()), shares.tolist(), strict=True))


@pytest.mark.parametrize(
    ("step", "schedule"),
    [
        (Speculative(window=2), linear),
        (Speculative(window=5), constant),
        (Speculative(draft=whimsical, window=1), linear),
    ],
    ids=["jacobi", "longer than the picture", "another law"],
)
def test_pictures_have_the_law_of_the_generator(step: Speculative, schedule: Schedule) -> None:
    """Chi-square of 20,000 pictures of three ids, whose 27 probabilities are known; 60 is passed once in 6,000."""
    made, draws = generator(rows=1, entries=3), 20_000
    decoder = Decoder(made, SamplingOptions(guidance=2.0, temperature=0.8), guidance=schedule, step=step)
    expected = law(decoder, 3)
    assert sum(expected.values()) == pytest.approx(1.0, abs=1e-4)
    drawn = decoder(torch.full((draws,), 2), Rng(1))
    found = dict.fromkeys(expected, 0)
    for picture in drawn.tolist():
        found[tuple(picture)] += 1
    chi = sum((found[each] - draws * share) ** 2 / (draws * share) for each, share in expected.items())
    assert chi < 60


def test_a_law_that_is_wrong_is_found() -> None:
    """The same count, where every draft is kept."""
    made, draws = generator(rows=1, entries=3), 20_000

    def all_kept(p: Tensor, q: Tensor, drafted: Tensor, rng: Rng) -> tuple[Tensor, Tensor]:
        return torch.ones_like(drafted, dtype=torch.bool), residual(p, q)

    decoder = Decoder(made, step=Speculative(accept=all_kept, window=2))
    expected = law(decoder, 3)
    drawn = decoder(torch.full((draws,), 2), Rng(1)).tolist()
    chi = sum((drawn.count(list(each)) - draws * share) ** 2 / (draws * share) for each, share in expected.items())
    assert chi > 200


@pytest.mark.parametrize("accept", ["exact", "grouped"])
@pytest.mark.parametrize("guidance", [1.0, 2.5])
@pytest.mark.parametrize("trunk", [causal, rar, llama])
def test_a_batch_is_its_pictures_with_a_cache_or_without(
    trunk: Callable[[int], nn.Module], guidance: float, accept: str
) -> None:
    made = generator(trunk)
    chosen = exact if accept == "exact" else of_group(made, distance=100.0)
    decoder = Decoder(made, SamplingOptions(guidance=guidance, top_k=9), step=Speculative(accept=chosen, window=4))
    together = decoder(LABELS, Rng(SEEDS))
    for row, seed in enumerate(SEEDS):
        assert torch.equal(decoder(LABELS[row : row + 1], Rng([seed])), together[row : row + 1])
    assert torch.equal(replace(decoder, cached=False)(LABELS, Rng(SEEDS)), together)
    assert not torch.equal(together[0], together[1])


@pytest.mark.parametrize("trunk", [causal, rar, llama])
def test_the_likeliest_picture_is_the_same_in_fewer_passes(trunk: Callable[[int], nn.Module]) -> None:
    """At temperature 0 a draft stays if it is the likeliest id: Jacobi's iteration, which ends at the same picture."""
    made, options = generator(trunk, entries=3), SamplingOptions(guidance=1.5, temperature=0.0)
    plain, slow = passes(Decoder(made, options), LABELS[:1], Rng(0))
    quick, few = passes(Decoder(made, options, step=Speculative(window=4)), LABELS[:1], Rng(0))
    assert torch.equal(quick, plain)
    assert few < slow == 12


def test_drafts_that_are_right_are_all_kept_at_once() -> None:
    """13 tokens less one in windows of 3 and one token more each."""
    made = generator()
    options = SamplingOptions(temperature=0.0)
    targets, _ = passes(Decoder(made, options), LABELS[:1], Rng(0))
    known = [1]

    def knowing(at: Standing, shape: Shape, rng: Rng) -> Drafts:
        ids = torch.cat([targets, targets.new_zeros(1, 8)], 1)[:, known[0] : known[0] + 3]
        known[0] += 4
        return Drafts(ids, nn.functional.one_hot(ids, ENTRIES).float())

    drawn, few = passes(Decoder(made, options, step=Speculative(draft=knowing, window=3)), LABELS[:1], Rng(0))
    assert torch.equal(drawn, targets)
    assert few == 1 + 3


def test_wider_groups_need_fewer_passes() -> None:
    made, labels = generator(rows=8), LABELS[:1]

    def taken(accept: Accept) -> int:
        decoder = Decoder(made, step=Speculative(accept=accept, window=6))
        return sum(passes(decoder, labels, Rng([seed]))[1] for seed in range(5))

    alone = taken(exact)
    assert taken(of_group(made, radius=0)) == alone
    assert taken(of_group(made, radius=4, probability=1.0, distance=1e9)) < alone < 5 * 24


def test_watching_sees_what_every_row_knows() -> None:
    made, seen = generator(), []
    decoder = Decoder(made, step=Speculative(window=4))
    drawn = decoder(LABELS, Rng(SEEDS), watch=lambda done, total, tokens, steps: seen.append((done, total, tokens)))
    assert [total for _, total, _ in seen] == [12] * len(seen)
    assert [done for done, _, _ in seen] == sorted({done for done, _, _ in seen})
    for done, _, tokens in seen:
        assert torch.equal(tokens[:, :done], drawn[:, :done])
    assert seen[-1][0] == 12


# Refusals


def test_what_cannot_be_verified_is_refused() -> None:
    masked = generator(order=RandomMasked())
    with pytest.raises(InputError, match="drafts are verified in raster order"):
        Decoder(masked, step=Speculative())(LABELS, Rng(SEEDS))
    continuous = generator(head=RegressionHead(3, WIDTH))
    with pytest.raises(InputError, match="RegressionHead draws no ids"):
        Decoder(continuous, step=Speculative())(LABELS, Rng(SEEDS))
    with pytest.raises(InputError, match="a window of 0 drafts verifies none"):
        Speculative(window=0)

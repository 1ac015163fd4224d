"""Heads draw what they were taught: frequencies and moments of known distributions."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from limner.decode.step import proposals
from limner.generators.heads.categorical import CategoricalHead, LinearCategoricalHead, cut, gumbel
from limner.generators.heads.diffusion import DenoisingMlp, DiffusionHead, ModulationsAhead
from limner.generators.heads.head import SamplingOptions
from limner.generators.heads.mixture import MixtureHead
from limner.generators.heads.regression import RegressionHead
from limner.processes.solvers import Solver, ddim, dpm_solver_2m, heun
from limner.types import Rng

CONTEXTS = torch.eye(2)  # two situations, each with its own distribution of a token of two channels
MEANS = torch.tensor([[1.0, -0.5], [-1.0, 0.0]])
DEVIATIONS = torch.tensor([[0.5, 1.0], [1.0, 0.6]])


def taught(head: nn.Module, updates: int, *, lr: float = 1e-2, rows: int = 128) -> nn.Module:
    """The head after some steps on the two Gaussians."""
    optimizer = torch.optim.Adam(head.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, updates)
    contexts = CONTEXTS[:, None].expand(-1, rows, -1)
    for update in range(updates):
        tokens = MEANS[:, None] + DEVIATIONS[:, None] * Rng(2 * update).normal(2, rows, 2)
        optimizer.zero_grad()
        head.loss(contexts, tokens, Rng(2 * update + 1)).mean().backward()
        optimizer.step()
        schedule.step()
    return head.eval()


@torch.no_grad()
def drawn(head: nn.Module, options: SamplingOptions, rows: int = 4000) -> Tensor:
    return head.sample(CONTEXTS[:, None].expand(-1, rows, -1), False, options, Rng(7))


def mixture() -> MixtureHead:
    return MixtureHead(2, 2, components=3)


def diffusion() -> DiffusionHead:
    """Drawing leaves out the highest noise levels: at the very last an error of the noise counts 20,000 fold in the
    token, which seconds of training do not make small enough."""
    return DiffusionHead(2, 2, width=32, depth=2, draws=2, steps=range(0, 961, 40))


def velocity() -> DiffusionHead:
    """All noise levels, which the velocity stands."""
    return DiffusionHead(2, 2, width=32, depth=2, draws=2, steps=25, velocity=True, emphasis=5.0)


@pytest.mark.parametrize(
    ("build", "updates", "lr", "bound"),
    [(mixture, 200, 5e-2, 0.07), (diffusion, 250, 1e-2, 0.2), (velocity, 250, 1e-2, 0.2)],
)
def test_a_taught_head_matches_moments(build: Callable[[], nn.Module], updates: int, lr: float, bound: float) -> None:
    torch.manual_seed(0)
    tokens = drawn(taught(build(), updates, lr=lr), SamplingOptions())
    assert (tokens.mean(1) - MEANS).abs().max() < bound
    assert (tokens.std(1) / DEVIATIONS - 1).abs().max() < bound


@pytest.mark.slow
@pytest.mark.parametrize("solver", [ddim, heun, dpm_solver_2m])
def test_a_solver_draws_what_was_taught_in_fewer_steps(solver: Solver) -> None:
    torch.manual_seed(0)
    head = taught(velocity(), 250)
    tokens = drawn(head, SamplingOptions(solver=solver, head_steps=12))
    assert (tokens.mean(1) - MEANS).abs().max() < 0.2
    assert (tokens.std(1) / DEVIATIONS - 1).abs().max() < 0.25
    cold = drawn(head, SamplingOptions(solver=solver, head_steps=12, temperature=0.5))
    assert (cold.std(1) / tokens.std(1)).max() < 0.7


def test_a_mixture_is_no_single_gaussian() -> None:
    """Two far apart modes: the drawn tokens lie at the modes, where the mean alone would lie between them."""
    head = MixtureHead(1, 1, components=2)
    with torch.no_grad():
        head.output.weight.zero_()
        head.output.bias.copy_(torch.tensor([0.0, 0.0, -2.0, 2.0, -3.0, -3.0]))
    tokens = head.sample(torch.ones(1, 2000, 1), False, SamplingOptions(), Rng(0))
    assert (tokens.abs() - 2).abs().max() < 0.5
    assert tokens.gt(0).float().mean() == pytest.approx(0.5, abs=0.04)


def test_the_loss_of_a_mixture_is_its_likelihood() -> None:
    torch.manual_seed(0)
    head, contexts, tokens = MixtureHead(3, 5, components=4), torch.randn(2, 6, 5), torch.randn(2, 6, 3)
    weight, mean, deviation = head.parts(contexts)
    law = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(logits=weight),
        torch.distributions.Independent(torch.distributions.Normal(mean, deviation.exp()), 1),
    )
    torch.testing.assert_close(head.loss(contexts, tokens, Rng(0)), -law.log_prob(tokens) / 3)


@pytest.mark.parametrize("build", [mixture, diffusion])
def test_temperature_narrows(build: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    head = taught(build(), 60)
    spread = [drawn(head, SamplingOptions(temperature=heat), 500).std(1).mean() for heat in (0.3, 1.0)]
    assert spread[0] < 0.8 * spread[1]


def test_regression_gives_the_mean() -> None:
    torch.manual_seed(0)
    tokens = drawn(taught(RegressionHead(2, 2), 300, lr=3e-2), SamplingOptions())
    assert tokens.std(1).max() < 1e-6
    assert (tokens[:, 0] - MEANS).abs().max() < 0.05


def test_regression_loss_is_the_squared_error() -> None:
    head, contexts, tokens = RegressionHead(2, 2), torch.randn(1, 3, 2), torch.randn(1, 3, 2)
    expected = (head.output(contexts) - tokens).square().mean(-1)
    torch.testing.assert_close(head.loss(contexts, tokens, Rng(0)), expected)


def test_diffusion_visits_as_many_noise_levels_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modulations are made of each level once, in order, and the net is asked at each."""
    head = diffusion()
    told: list[int] = []
    asked: list[int] = []
    modulations = head.network.modulations

    def noted(t: Tensor, z: Tensor) -> list[Tensor]:
        told.extend(t.flatten().tolist())
        return modulations(t, z)

    monkeypatch.setattr(head.network, "modulations", noted)
    head.network.input.register_forward_hook(lambda module, inputs, output: asked.append(1))
    head.sample(torch.zeros(1, 1, 2), False, SamplingOptions(head_steps=4), Rng(0))
    assert told == [999, 666, 333, 0]
    assert len(asked) == 4
    told.clear()
    head.sample(torch.zeros(1, 1, 2), False, SamplingOptions(), Rng(0))
    assert told == list(range(960, -1, -40))
    assert len(asked) == 4 + 25


@pytest.mark.parametrize("rows", [1, 3, 300])
def test_modulations_made_ahead_are_those_of_each_level(rows: int) -> None:
    """Of all levels at once, of some, or one by one where there are many rows."""
    torch.manual_seed(0)
    network = DenoisingMlp(2, 5, width=16, depth=2)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    z, levels = torch.randn(1, rows, 5), list(range(900, -1, -9))
    ahead = ModulationsAhead(network, levels, z)
    for level in (levels[0], levels[0], *levels[1:]):
        alone = network.modulations(torch.full((1, 1), level), z)
        for made, expected in zip(ahead.at(level), alone, strict=True):
            torch.testing.assert_close(made, expected, rtol=1e-4, atol=1e-4)


# Categorical


def categorical(probabilities: list[float]) -> tuple[CategoricalHead, Tensor]:
    """A head that gives these probabilities whatever the context."""
    head = CategoricalHead(len(probabilities), 4)
    with torch.no_grad():
        head.bias.copy_(torch.tensor(probabilities).log())
    return head.eval().requires_grad_(False), torch.zeros(1, 20_000, 4)


def frequencies(head: CategoricalHead, contexts: Tensor, options: SamplingOptions) -> Tensor:
    ids = head.sample(contexts, False, options, Rng(0))
    return torch.bincount(ids.flatten(), minlength=len(head.bias)) / ids.numel()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (SamplingOptions(), [0.1, 0.2, 0.3, 0.4]),
        (SamplingOptions(temperature=0.0), [0.0, 0.0, 0.0, 1.0]),
        (SamplingOptions(temperature=0.5), [1 / 30, 4 / 30, 9 / 30, 16 / 30]),
        (SamplingOptions(top_k=2), [0.0, 0.0, 3 / 7, 4 / 7]),
        (SamplingOptions(top_p=0.65), [0.0, 0.0, 3 / 7, 4 / 7]),
        (SamplingOptions(top_p=0.75), [0.0, 2 / 9, 3 / 9, 4 / 9]),
        (SamplingOptions(top_k=3, top_p=0.4), [0.0, 0.0, 0.0, 1.0]),
    ],
)
def test_frequencies_of_ids(options: SamplingOptions, expected: list[float]) -> None:
    found = frequencies(*categorical([0.1, 0.2, 0.3, 0.4]), options)
    assert found.tolist() == pytest.approx(expected, abs=0.012)
    assert [share > 0 for share in expected] == found.gt(0).tolist()


def test_a_cut_keeps_at_least_the_likeliest() -> None:
    logits = torch.randn(5, 7)
    kept = cut(logits, SamplingOptions(top_p=1e-6)).isfinite()
    assert torch.equal(kept.nonzero()[:, 1], logits.argmax(-1))


def test_guidance_of_a_categorical_head_extrapolates_logits() -> None:
    head = CategoricalHead(2, 1)
    with torch.no_grad():
        head.embed.weight.copy_(torch.tensor([[0.0], [1.0]]))
    contexts, without = torch.full((1, 20_000, 1), 0.5), torch.zeros(1, 20_000, 1)
    ids = head.sample(torch.cat([contexts, without]), True, SamplingOptions(guidance=3.0), Rng(0))
    assert ids.float().mean() == pytest.approx(float(torch.tensor(1.5).sigmoid()), abs=0.012)


def test_a_table_of_its_own_for_the_output() -> None:
    head = LinearCategoricalHead(5, 4, bias=False)
    contexts = torch.randn(2, 3, 4)
    torch.testing.assert_close(head.logits(contexts), contexts @ head.output.weight.T)
    assert head.embed(torch.tensor([[4]])).shape == (1, 1, 4)
    assert not torch.equal(head.embed.weight, head.output.weight)


def test_categorical_loss_is_cross_entropy() -> None:
    head, _ = categorical([0.1, 0.2, 0.3, 0.4])
    loss = head.loss(torch.zeros(1, 2, 4), torch.tensor([[0, 3]]), Rng(0))
    torch.testing.assert_close(loss, -torch.tensor([[0.1, 0.4]]).log())


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (SamplingOptions(), [0.1, 0.2, 0.3, 0.4]),
        (SamplingOptions(temperature=0.5), [1 / 30, 4 / 30, 9 / 30, 16 / 30]),
        (SamplingOptions(temperature=0.0), [0.0, 0.0, 0.0, 1.0]),
        (SamplingOptions(top_k=2), [0.0, 0.0, 3 / 7, 4 / 7]),
    ],
)
def test_proposals_are_of_the_distribution_and_their_confidence_is_a_noisy_logit(
    options: SamplingOptions, expected: list[float]
) -> None:
    head, contexts = categorical([0.1, 0.2, 0.3, 0.4])
    ids, confidence = proposals(head.guided_logits(contexts, False, options), options, Rng(0))
    assert head.distribution(contexts[:, :1], False, options)[0, 0].tolist() == pytest.approx(expected)
    shares = torch.bincount(ids.flatten(), minlength=4) / ids.numel()
    assert shares.tolist() == pytest.approx(expected, abs=0.012)
    noise = confidence - head.bias[ids]
    assert noise.mean() == pytest.approx(options.temperature * 0.5772, abs=0.03)  # the mean of Gumbel's law
    assert noise.std() == pytest.approx(options.temperature * math.pi / 6**0.5, abs=0.03)


def test_gumbel_noise_at_the_ends_of_the_uniform_draws() -> None:
    ends = gumbel(torch.tensor([0.0, 1 - 2**-24]))
    assert ends[0] == -math.inf
    assert ends[1] == pytest.approx(24 * math.log(2), abs=0.1)


def test_smoothed_targets() -> None:
    """A share of the target is spread evenly: the loss moves as much towards the mean of all."""
    heads = [LinearCategoricalHead(5, 4, smoothing=share) for share in (0.0, 0.2)]
    heads[1].load_state_dict(heads[0].state_dict())
    contexts, tokens = torch.randn(2, 3, 4), torch.randint(0, 5, (2, 3))
    plain, smooth = (head.loss(contexts, tokens, Rng(0)) for head in heads)
    of_all = -heads[0].logits(contexts).log_softmax(-1).mean(-1)
    torch.testing.assert_close(smooth, 0.8 * plain + 0.2 * of_all)

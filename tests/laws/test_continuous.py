"""Continuous speculative decoding: the law of what is drawn, batches, and what a target that draws all itself draws."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.parity.goldens import Replay
from torch import Tensor

from limner.decode.continuous import ContinuousSpeculative, ratio, redrawn
from limner.decode.decoder import Decoder
from limner.errors import InputError
from limner.generators.backbones.masked import MaskedAutoencoder
from limner.generators.conditions import ClassCondition
from limner.generators.generator import Generator
from limner.generators.heads.diffusion import DiffusionHead, Traced
from limner.generators.heads.head import Head, SamplingOptions
from limner.generators.heads.regression import RegressionHead
from limner.generators.orders import RandomMasked
from limner.processes.solvers import ddim
from limner.types import Layout, Rng

WIDTH, COUNT, CHANNELS, STEPS = 16, 6, 3, 4
LAYOUT = Layout(((2, 3),))
LABELS, SEEDS = torch.tensor([2, 0, 1]), [5, 6, 7]


def generator(seed: int, head: Head | None = None) -> Generator:
    torch.manual_seed(seed)
    backbone = MaskedAutoencoder(count=COUNT, prefix=2, width=WIDTH, encoder_depth=1, decoder_depth=1, heads=2)
    made = Generator(
        layout=LAYOUT,
        order=RandomMasked(),
        backbone=backbone,
        head=head or DiffusionHead(CHANNELS, WIDTH, width=16, depth=1, steps=STEPS, velocity=True),
        condition=ClassCondition(3, WIDTH, 2),
    )
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return made.eval()


def gaussian(mean: float, deviation: float, x: Tensor) -> Traced:
    return Traced(x, *(torch.full_like(x, value) for value in (mean, deviation, 0.0)))


@pytest.mark.parametrize(("mean", "deviation"), [(0.8, 0.7), (-0.3, 1.5), (0.0, 1.0)])
def test_of_two_gaussians_what_is_drawn_has_the_law_of_the_target(mean: float, deviation: float) -> None:
    """Kolmogorov's distance of 20,000 draws; 0.0142 is passed once in 1,500."""
    draws, rng = 20_000, Rng(0)
    x = rng.normal(1, draws, 1)
    q, p = gaussian(0.0, 1.0, x), gaussian(mean, deviation, x)
    accepted = rng.uniform(1, draws) < ratio(p, q, x, 1.0)
    drawn = torch.where(accepted[..., None], x, redrawn(p, q, accepted, rng)).flatten().sort().values
    edges = torch.distributions.Normal(mean, deviation).cdf(drawn)
    assert (edges - (torch.arange(draws) + 0.5) / draws).abs().max() < 0.0142
    assert accepted.all() == (mean == 0.0)


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_a_batch_is_its_pictures(guidance: float) -> None:
    step = ContinuousSpeculative(generator(1), 0.2, 2, 1.0)
    decoder = Decoder(generator(0), SamplingOptions(guidance=guidance), step=step)
    together = decoder(LABELS, Rng(SEEDS))
    for row, seed in enumerate(SEEDS):
        alone = decoder(LABELS[row : row + 1], Rng([seed]))
        torch.testing.assert_close(alone, together[row : row + 1], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(together[0], together[1])


def test_a_target_that_draws_all_steps_draws_what_it_draws_alone() -> None:
    """Where both have the same noise; whatever the drafter is."""
    made = generator(0)
    plan = made.order.decoding_steps(1, LAYOUT, None, Rng(3))
    start, draws = Rng(1).normal(1, COUNT, CHANNELS), Rng(2).normal(1, COUNT, STEPS, CHANNELS)
    order = plan[0].argsort()
    noise = [part for token in order for part in (start[:, token], *draws[:, token].unbind(1))]
    plain = Decoder(made)(LABELS[:1], Replay(normal=noise), plan=plan)
    step = ContinuousSpeculative(generator(1), prefill=1.0)
    drafted = Decoder(made, step=step)(LABELS[:1], Replay(normal=[start, draws]), plan=plan)
    torch.testing.assert_close(drafted, plain)


def test_a_drafter_that_always_agrees_changes_nothing() -> None:
    """The model itself, verified after every step: p is q."""
    made = generator(0)
    step = ContinuousSpeculative(made, prefill=0.0, every=1)
    whole = replace(step, prefill=1.0)
    one, other = (Decoder(made, step=each)(LABELS, Rng(SEEDS)) for each in (step, whole))
    torch.testing.assert_close(one, other)


def test_what_cannot_be_verified_is_refused() -> None:
    made = generator(0)
    with pytest.raises(InputError, match="a RegressionHead does not denoise token by token"):
        ContinuousSpeculative(generator(0, RegressionHead(CHANNELS, WIDTH)))
    with pytest.raises(InputError, match="a solver ends without a Gaussian"):
        Decoder(made, SamplingOptions(solver=ddim), step=ContinuousSpeculative(made))(LABELS, Rng(SEEDS))
    with pytest.raises(InputError, match="every 1 or more steps"):
        ContinuousSpeculative(made, every=0)

"""FlowAR's parts: noise of a scale is seen by that scale alone, what was kept changes nothing, and a generator of them
trains and draws like any other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from limner.decode.decoder import Decoder
from limner.decode.schedules import Moment, with_steps
from limner.generators.backbones.flow_scales import FlowScales
from limner.generators.backbones.scales import ScaleTransformer
from limner.generators.conditions import ClassCondition, Conditioning
from limner.generators.embeddings import ScaleEmbedding
from limner.generators.generator import Generator
from limner.generators.heads.head import SamplingOptions
from limner.generators.heads.trunk import Flow, TrunkHead
from limner.generators.orders import Scales
from limner.tokenizers.pyramid import Pyramid, doubling
from limner.tokenizers.quantizers.continuous import Identity
from limner.types import Rng, Steps

LAYOUT, COUNT, WIDTH, CHANNELS, PREFIX, CLASSES = doubling((4, 4)), 21, 16, 3, 2, 5
LABELS = torch.tensor([4, 0, 2])
SEEDS = [11, 12, 13]


def trunk(prefix: int = 0, spatial: bool = True) -> FlowScales:
    """As it is once training has begun: modulations start at zero."""
    torch.manual_seed(0)
    semantics = ScaleTransformer(layout=LAYOUT, width=WIDTH, depth=2, heads=2, prefix=prefix)
    made = FlowScales(semantics, depth=2, heads=2, spatial=spatial)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return made.eval()


def reading() -> FlowScales:
    return trunk(PREFIX)


def pooled() -> FlowScales:
    return trunk(spatial=False)


Build = Callable[[], FlowScales]
BUILDS: list[Build] = [trunk, reading, pooled]


def steps() -> Steps:
    return Scales().training_steps(2, LAYOUT, Rng(0))


def positions(chosen: Tensor) -> Tensor:
    return chosen.nonzero()[:, 1].reshape(len(chosen), -1)


def inputs(kind: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    """What slots are told, noised tokens, condition."""
    torch.manual_seed(1)
    return tuple(torch.randn(2, count, WIDTH, dtype=kind, requires_grad=True) for count in (COUNT, COUNT, PREFIX))


@pytest.mark.parametrize("build", BUILDS)
def test_noise_is_seen_by_its_own_scale_alone(build: Build) -> None:
    backbone, (x, noised, prefix) = build(), inputs()
    contexts = backbone(x, steps(), Conditioning(prefix), torch.arange(COUNT).expand(2, -1))
    assert contexts.levels == 3
    assert torch.equal(contexts.level, steps() - 1)
    answers, weights = contexts(noised, torch.tensor([[100, 200, 300]]).expand(2, -1)), torch.randn(WIDTH)
    for token in range(COUNT):
        told, noise = torch.autograd.grad(answers[0, token] @ weights, (x, noised), retain_graph=True)
        own = steps()[0] == steps()[0, token]
        felt = noise.abs().sum(-1)
        assert (felt[0, own] > 0).all(), "a scale does not see itself"
        assert (felt[0, ~own] == 0).all(), "a scale sees noise of another"
        assert not felt[1].any()
        assert not told[0, steps()[0] > steps()[0, token]].any(), "a scale is told what a later one is told"


@pytest.mark.parametrize("build", BUILDS)
@torch.no_grad()
def test_a_scale_alone_is_what_it_was_in_training(build: Build) -> None:
    backbone, (x, noised, prefix) = build().double(), inputs(torch.float64)
    together = backbone(x, steps(), Conditioning(prefix), torch.arange(COUNT).expand(2, -1))
    found = together(noised, torch.tensor([[100, 200, 300]]).expand(2, -1))
    for step in (1, 2, 3):
        targets = positions(steps() == step)
        alone = backbone(x, steps().clamp_max(step), Conditioning(prefix), targets)
        assert alone.levels == 1
        answer = alone(noised.take_along_dim(targets[..., None], 1), torch.full((2, 1), 100 * step))
        torch.testing.assert_close(answer, found.take_along_dim(targets[..., None], 1), rtol=0, atol=1e-12)


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize(("kind", "bound"), [(torch.float64, 1e-12), (torch.float32, 2e-5)])
@torch.no_grad()
def test_kept_keys_and_values_change_nothing(build: Build, kind: torch.dtype, bound: float) -> None:
    """Asked again and again, with the cache or without, by all rows or the first alone; the transformer runs once per
    scale, the blocks each time, over the tokens of the scale and no others."""
    backbone, (x, noised, prefix) = build().to(kind), inputs(kind)
    read: list[int] = []
    denoised: list[int] = []
    backbone.semantics.blocks[0].register_forward_hook(lambda module, given, output: read.append(output.shape[1]))
    backbone.blocks[0].register_forward_hook(lambda module, given, output: denoised.append(output.shape[1]))
    cache = backbone.cache()
    for step, length in ((1, 1), (2, 4), (3, 16)):
        targets, known = positions(steps() == step), steps().clamp_max(step)
        anew = backbone(x, known, Conditioning(prefix), targets)
        read.clear()
        kept = backbone(x, known, Conditioning(prefix), targets, cache)
        for level in (900, 0, 500):
            own, t = level / 500 * noised[:, :length], torch.full((2, 1), level)
            answer = anew(own, t)
            denoised.clear()
            torch.testing.assert_close(kept(own, t), answer, rtol=0, atol=bound)
            torch.testing.assert_close(kept(own[:1], t[:1]), answer[:1], rtol=0, atol=bound)
            assert denoised == [length, length]
        assert read == [length + backbone.semantics.prefix * (step == 1)]


@torch.no_grad()
def test_without_places_a_scale_is_steered_by_the_mean_of_what_it_means() -> None:
    spatial, mean, (x, noised, prefix) = trunk(), pooled(), inputs()
    targets = positions(steps() == 3)
    contexts = [backbone(x, steps(), Conditioning(prefix), targets) for backbone in (spatial, mean)]
    assert spatial.state_dict().keys() == mean.state_dict().keys()
    averaged = contexts[0].semantics.mean(1, keepdim=True).expand(-1, 16, -1)
    torch.testing.assert_close(contexts[1].semantics, averaged)
    own, t = noised[:, :16], torch.full((2, 1), 300)
    assert not torch.allclose(contexts[0](own, t), contexts[1](own, t), atol=1e-2)


# Generators of such parts


def generator(spatial: bool = True, drop: float = 0.5) -> Generator:
    pyramid = Pyramid(Identity(CHANNELS), LAYOUT)
    torch.manual_seed(0)
    made = Generator(
        layout=LAYOUT,
        order=Scales(),
        backbone=trunk(PREFIX, spatial),
        head=TrunkHead(CHANNELS, WIDTH, Flow(4, stochastic=False)),
        condition=ClassCondition(CLASSES, WIDTH, PREFIX),
        embed=ScaleEmbedding(CHANNELS, WIDTH, pyramid),
        drop=drop,
    )
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return made.eval()


def assert_same(found: Tensor, targets: Tensor) -> None:
    torch.testing.assert_close(found, targets, rtol=1e-4, atol=1e-5 * float(targets.abs().max()))


@pytest.mark.parametrize("spatial", [True, False])
@pytest.mark.parametrize("guidance", [1.0, 2.5])
def test_a_batch_is_its_pictures_one_by_one_with_a_cache_or_without(spatial: bool, guidance: float) -> None:
    decoder = Decoder(generator(spatial), SamplingOptions(guidance=guidance), guidance=with_steps)
    together = decoder(LABELS, Rng(SEEDS))
    for row, seed in enumerate(SEEDS):
        assert_same(decoder(LABELS[row : row + 1], Rng([seed])), together[row : row + 1])
    assert_same(replace(decoder, cached=False)(LABELS, Rng(SEEDS)), together)
    assert not torch.equal(together[0], together[1])


def test_guidance_of_one_is_none() -> None:
    """A batch that is guided in the last scale alone begins as one that is not, and ends otherwise."""

    def late(strength: float, moment: Moment) -> float:
        return strength if moment.step == moment.total else 1.0

    made = generator()
    plain = Decoder(made, SamplingOptions())(LABELS, Rng(SEEDS))
    pushed = Decoder(made, SamplingOptions(guidance=4.0), guidance=late)(LABELS, Rng(SEEDS))
    assert_same(pushed[:, :5], plain[:, :5])
    assert (pushed - plain)[:, 5:].abs().max() > 1e-3


@pytest.mark.parametrize("spatial", [True, False])
def test_the_loss_reaches_every_parameter(spatial: bool) -> None:
    made = generator(spatial).train()
    made.loss(torch.randn(8, COUNT, CHANNELS), torch.arange(8) % CLASSES, Rng(0)).backward()
    assert not [name for name, p in made.named_parameters() if p.grad is None or not p.grad.any()]


def test_the_loss_of_a_scale_knows_nothing_of_later_ones() -> None:
    """Whatever the last scale is to become, what coarser ones lose by it stays the same."""
    made, tokens = generator(drop=0.0), torch.randn(2, COUNT, CHANNELS)
    other = torch.cat([tokens[:, :5], torch.randn(2, 16, CHANNELS)], dim=1)
    with torch.no_grad():
        losses = [token_losses(made, given) for given in (tokens, other)]
    assert torch.equal(losses[0][:, :5], losses[1][:, :5])
    assert not torch.equal(losses[0][:, 5:], losses[1][:, 5:])


def token_losses(made: Generator, tokens: Tensor) -> Tensor:
    """The loss of every token, under the same draws."""
    condition = made.condition(torch.tensor([1, 2]), torch.zeros(2, dtype=torch.bool))
    contexts = made.contexts(tokens, steps(), condition, torch.arange(COUNT).expand(2, -1))
    return made.head.loss(contexts, tokens, Rng(3))

"""Contexts that wait for noise: no block sees clean tokens of its own or a later step, nor noise of a later one; kept
keys and values change nothing; and a generator of such parts trains and draws like any other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from limner.decode.decoder import Decoder
from limner.decode.schedules import Moment, constant, with_steps
from limner.generators.backbones.backbone import Denoiser
from limner.generators.backbones.blockwise import BlockwiseTransformer
from limner.generators.backbones.cells import CellTransformer
from limner.generators.conditions import ClassCondition, Conditioning
from limner.generators.generator import Generator
from limner.generators.heads.head import SamplingOptions
from limner.generators.heads.trunk import Diffusion, Flow, Process, TrunkHead
from limner.generators.orders import Cells
from limner.nn.cache import KeyValueCache
from limner.types import Layout, Rng, Steps

GRID, COUNT, WIDTH, CHANNELS, CLASSES = (4, 4), 16, 16, 3, 5
LAYOUT = Layout((GRID,))
LABELS = torch.tensor([4, 0, 2])
SEEDS = [11, 12, 13]


def noisy() -> CellTransformer:
    return CellTransformer(grid=GRID, width=WIDTH, encoder_depth=1, decoder_depth=1, heads=2)


def clean() -> CellTransformer:
    return CellTransformer(grid=GRID, width=WIDTH, encoder_depth=1, decoder_depth=1, heads=2, noisy=False)


def blockwise() -> BlockwiseTransformer:
    return BlockwiseTransformer(axes=GRID, split=(1, 1), width=WIDTH, depth=2, heads=2)


def noisy_reading() -> CellTransformer:
    return CellTransformer(grid=GRID, width=WIDTH, encoder_depth=1, decoder_depth=1, heads=2, prefix=2)


def blockwise_reading() -> BlockwiseTransformer:
    return BlockwiseTransformer(axes=GRID, split=(1, 1), width=WIDTH, depth=2, heads=2, prefix=2)


def film() -> BlockwiseTransformer:
    return BlockwiseTransformer(axes=(4, 2, 2), split=(2, 1, 1), width=WIDTH, depth=2, heads=2)


Build = Callable[[], nn.Module]
BUILDS = [noisy, clean, noisy_reading, blockwise, blockwise_reading, film]


def steered(build: Build) -> nn.Module:
    """As it is once training has begun: modulations may start at zero."""
    torch.manual_seed(0)
    module = build()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return module.eval()


def blocks() -> Steps:
    return Cells((2, 2)).training_steps(2, LAYOUT, Rng(0))


def shuffled() -> Steps:
    """Blocks of tokens from all over the picture, other ones in each row (xAR's subsamples)."""
    return Rng(5).permutations(2, COUNT) // 4 + 1


def positions(chosen: Tensor) -> Tensor:
    return chosen.nonzero()[:, 1].reshape(len(chosen), -1)


def inputs(kind: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    """Clean tokens, noised ones, condition."""
    torch.manual_seed(1)
    return tuple(torch.randn(2, count, WIDTH, dtype=kind, requires_grad=True) for count in (COUNT, COUNT, 2))


def timesteps(contexts: Denoiser) -> Tensor:
    return 100 * torch.arange(1, contexts.levels + 1).expand(2, -1)


@pytest.mark.parametrize("plan", [blocks, shuffled])
@pytest.mark.parametrize("build", BUILDS)
def test_no_block_sees_its_own_tokens_or_later_noise(build: Build, plan: Callable[[], Steps]) -> None:
    backbone, steps, (x, noised, prefix) = steered(build), plan(), inputs()
    contexts = backbone(x, steps, Conditioning(prefix), torch.arange(COUNT).expand(2, -1))
    assert contexts.levels == 4
    assert torch.equal(contexts.level, steps - 1)
    answers, weights = contexts(noised, timesteps(contexts)), torch.randn(WIDTH)
    for token in range(COUNT):
        found = torch.autograd.grad(answers[0, token] @ weights, (x, noised), retain_graph=True, allow_unused=True)
        from_clean, from_noise = (torch.zeros(2, COUNT) if part is None else part.abs().sum(-1) for part in found)
        earlier, own = steps[0] < steps[0, token], steps[0] == steps[0, token]
        read, past = (from_noise, from_clean) if backbone.noisy else (from_clean, from_noise)
        assert (read[0, earlier] > 0).all(), "an earlier block is not read"
        assert (past[0, earlier] == 0).all(), "a block is read twice, clean and noised"
        assert (from_noise[0, own] > 0).all(), "a block does not see itself"
        assert (from_clean[0, ~earlier] == 0).all(), "a block sees what it is to become, or later ones"
        assert (from_noise[0, ~(earlier | own)] == 0).all(), "a block sees later noise"
        assert not from_clean[1].any()
        assert not from_noise[1].any()


@pytest.mark.parametrize("plan", [blocks, shuffled])
@pytest.mark.parametrize("build", BUILDS)
@torch.no_grad()
def test_a_block_alone_is_what_it_was_in_training(build: Build, plan: Callable[[], Steps]) -> None:
    """With earlier blocks clean: for a noisy context that is noise of timestep 0."""
    backbone, steps, (x, noised, prefix) = steered(build).double(), plan(), inputs(torch.float64)
    for step in range(1, 5):
        targets, earlier = positions(steps == step), steps < step
        alone = backbone(x, steps.clamp_max(step), Conditioning(prefix), targets)
        assert alone.levels == 1
        t = torch.full((2, 1), 300)
        together = backbone(x, steps, Conditioning(prefix), torch.arange(COUNT).expand(2, -1))
        levels = torch.tensor([0 if s < step else 300 for s in range(1, 5)]).expand(2, -1)
        found = together(torch.where(earlier[..., None], x, noised), levels)
        own = noised.take_along_dim(targets[..., None], 1)
        torch.testing.assert_close(alone(own, t), found.take_along_dim(targets[..., None], 1), rtol=0, atol=1e-11)


@pytest.mark.parametrize("plan", [blocks, shuffled])
@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize(("kind", "bound"), [(torch.float64, 1e-12), (torch.float32, 2e-5)])
@torch.no_grad()
def test_kept_keys_and_values_change_nothing(
    build: Build, plan: Callable[[], Steps], kind: torch.dtype, bound: float
) -> None:
    """Asked again and again, with the cache or without, by all rows or the first alone."""
    backbone, steps, (x, noised, prefix) = steered(build).to(kind), plan(), inputs(kind)
    cache = backbone.cache()
    assert isinstance(cache, KeyValueCache)
    for step in range(1, 5):
        targets, known = positions(steps == step), steps.clamp_max(step)
        kept, anew = (backbone(x, known, Conditioning(prefix), targets, memory) for memory in (cache, None))
        assert cache.length(0) == backbone.prefix + 4 * (step - 1)
        for level in (900, 0, 500):
            own, t = level / 500 * noised[:, :4], torch.full((2, 1), level)
            answer = anew(own, t)
            torch.testing.assert_close(kept(own, t), answer, rtol=0, atol=bound)
            torch.testing.assert_close(kept(own[:1], t[:1]), answer[:1], rtol=0, atol=bound)


@pytest.mark.parametrize("build", BUILDS)
@torch.no_grad()
def test_a_block_is_read_once_and_then_stays(build: Build) -> None:
    """While a block is denoised its own tokens are computed and no others."""
    backbone, steps, (x, noised, prefix) = steered(build), blocks(), inputs()
    computed: list[int] = []
    first = next(module for name, module in backbone.named_modules() if name.endswith("blocks.0"))
    first.register_forward_hook(lambda module, inputs, output: computed.append(output.shape[1]))
    cache = backbone.cache()
    for step in (1, 2, 3, 4):
        contexts = backbone(x, steps.clamp_max(step), Conditioning(prefix), positions(steps == step), cache)
        for level in (1000, 500):
            contexts(noised[:, :4], torch.full((2, 1), level))
    assert computed == [2] * (backbone.prefix > 0) + [4, 4] + [4, 4, 4] * 3


@pytest.mark.parametrize("build", [noisy, noisy_reading, blockwise, blockwise_reading])
@torch.no_grad()
def test_a_trunk_with_a_prefix_reads_it(build: Build) -> None:
    """Condition tokens of another order have the same mean."""
    backbone, steps, (x, noised, prefix) = steered(build), blocks(), inputs()
    targets = torch.arange(COUNT).expand(2, -1)
    swap = torch.tensor([[[1.0, -1.0]]]).mT * torch.randn(WIDTH)
    answers = [
        contexts(noised, timesteps(contexts))
        for contexts in (backbone(x, steps, Conditioning(told), targets) for told in (prefix, prefix + swap))
    ]
    assert torch.allclose(answers[0], answers[1], atol=1e-4) == (backbone.prefix == 0)


# Generators of such parts


PROCESSES: list[Process] = [Flow(4), Flow(4, stochastic=False), Diffusion(4), Diffusion(4, velocity=True)]
KINDS = [
    pytest.param(build, process, id=f"{build.__name__}-{type(process).__name__}{index}")
    for build in (noisy, blockwise)
    for index, process in enumerate(PROCESSES)
]


def generator(build: Build, process: Process, cell: tuple[int, int] = (2, 2)) -> Generator:
    return steered(
        lambda: Generator(
            layout=LAYOUT,
            order=Cells(cell),
            backbone=build(),
            head=TrunkHead(CHANNELS, WIDTH, process),
            condition=ClassCondition(CLASSES, WIDTH, 1),
            drop=0.5,
        )
    )


def assert_same(found: Tensor, targets: Tensor) -> None:
    torch.testing.assert_close(found, targets, rtol=1e-4, atol=1e-5 * float(targets.abs().max()))


@pytest.mark.parametrize("guidance", [1.0, 2.5])
@pytest.mark.parametrize(("build", "process"), KINDS)
def test_a_batch_is_its_pictures_one_by_one(build: Build, process: Process, guidance: float) -> None:
    decoder = Decoder(generator(build, process), SamplingOptions(guidance=guidance), guidance=with_steps)
    together = decoder(LABELS, Rng(SEEDS))
    for row, seed in enumerate(SEEDS):
        assert_same(decoder(LABELS[row : row + 1], Rng([seed])), together[row : row + 1])
    assert not torch.equal(together[0], together[1])


@pytest.mark.parametrize("cell", [(1, 1), (2, 2), (4, 2), (4, 4)])
@pytest.mark.parametrize("build", [noisy, blockwise])
def test_the_cache_changes_no_picture(build: Build, cell: tuple[int, int]) -> None:
    made = generator(build, Flow(3), cell)
    drawn = [
        Decoder(made, SamplingOptions(guidance=2.0), guidance=with_steps, cached=cached)(LABELS, Rng(SEEDS))
        for cached in (True, False)
    ]
    assert_same(drawn[0], drawn[1])


@pytest.mark.parametrize(("build", "process"), KINDS)
def test_guidance_of_one_is_none(build: Build, process: Process) -> None:
    """A batch that is guided nowhere but in the last block begins as one that is not, and ends otherwise."""

    def late(strength: float, moment: Moment) -> float:
        return strength if moment.step == moment.total else 1.0

    made = generator(build, process)
    plain = Decoder(made, SamplingOptions(), guidance=constant)(LABELS, Rng(SEEDS))
    pushed = Decoder(made, SamplingOptions(guidance=4.0), guidance=late)(LABELS, Rng(SEEDS))
    last = Cells((2, 2)).training_steps(1, LAYOUT, Rng(0))[0] == 4
    assert_same(pushed[:, ~last], plain[:, ~last])
    assert (pushed - plain)[:, last].abs().max() > 1e-3


@pytest.mark.parametrize(("build", "process"), KINDS)
def test_the_loss_reaches_every_parameter(build: Build, process: Process) -> None:
    made = generator(build, process).train()
    made.loss(torch.randn(8, COUNT, CHANNELS), torch.arange(8) % CLASSES, Rng(0)).backward()
    assert not [name for name, p in made.named_parameters() if p.grad is None or not p.grad.any()]


def test_a_context_of_noise_or_of_clean_tokens_is_one_argument() -> None:
    """The same weights and draws, and another loss."""
    torch.manual_seed(3)
    tokens, made = torch.randn(4, COUNT, CHANNELS), generator(noisy, Flow())
    losses = []
    for made.backbone.noisy in (True, False):
        with torch.no_grad():
            losses.append(float(made.loss(tokens, torch.arange(4), Rng(0))))
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.5)


def test_as_many_steps_as_asked_and_no_randomness_at_temperature_zero() -> None:
    made = generator(blockwise, Diffusion(4))
    told: list[int] = []
    made.backbone.time.register_forward_hook(lambda module, given, output: told.append(int(given[0][0, 0])))
    options = SamplingOptions(temperature=0.0, head_steps=2)
    one, other = (Decoder(made, options)(LABELS, Rng(seed)) for seed in (1, 2))
    assert told == [999, 500] * 8
    assert torch.equal(one, other)
    told.clear()
    Decoder(made, replace(options, head_steps=None))(LABELS, Rng(0))
    assert told == [999, 749, 500, 250] * 4

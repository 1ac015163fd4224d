"""The law of steps: a token's context depends on the condition and on strictly earlier steps, and on nothing else."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from limner.generators import backbones
from limner.generators.any_scales import AnyScales
from limner.generators.backbones.adaptive_llama import AdaptiveLlama
from limner.generators.backbones.any_scales import AnyScaleTransformer
from limner.generators.backbones.backbone import Backbone
from limner.generators.backbones.bert import Bert
from limner.generators.backbones.blockwise import BlockwiseTransformer
from limner.generators.backbones.causal import CausalTransformer
from limner.generators.backbones.cells import CellTransformer
from limner.generators.backbones.diagonal import DiagonalTransformer
from limner.generators.backbones.flow_scales import FlowScales
from limner.generators.backbones.llama import LlamaTransformer
from limner.generators.backbones.masked import MaskedAutoencoder
from limner.generators.backbones.mixed_scales import MixedScaleBlock
from limner.generators.backbones.rar import AHEAD, AdaptiveCausalTransformer
from limner.generators.backbones.scales import ScaleTransformer, own
from limner.generators.backbones.uvit import UVit
from limner.generators.conditions import Conditioning
from limner.generators.orders import ArccosMasked, Cells, Diagonals, RandomMasked, Raster, Scales
from limner.nn.cache import KeyValueCache, Rewindable
from limner.nn.ssm import Mamba2
from limner.tokenizers.free_scales import all_sides
from limner.tokenizers.pyramid import Pyramid
from limner.tokenizers.quantizers.continuous import Identity
from limner.tokenizers.quantizers.multiscale import MultiScaleQuantizer
from limner.types import Layout, Rng, Steps

COUNT, PREFIX, WIDTH = 12, 2, 16
GRID = (3, 4)
LAYOUT = Layout((GRID,))
PYRAMID = Layout(((1, 1), (1, 3), (2, 4)))


def causal() -> CausalTransformer:
    return CausalTransformer(count=COUNT, prefix=PREFIX, width=WIDTH, depth=2, heads=2)


def adaptive() -> AdaptiveCausalTransformer:
    """Steered, as it is once training has begun: its modulations start at zero."""
    backbone = AdaptiveCausalTransformer(count=COUNT, prefix=PREFIX, width=WIDTH, depth=2, heads=2)
    for name, parameter in backbone.named_parameters():
        if "modulation" in name:
            nn.init.normal_(parameter, std=0.5)
    return backbone


def masked() -> MaskedAutoencoder:
    return MaskedAutoencoder(count=COUNT, prefix=PREFIX, width=WIDTH, encoder_depth=2, decoder_depth=2, heads=2)


def narrowing() -> MaskedAutoencoder:
    return MaskedAutoencoder(
        count=COUNT,
        prefix=PREFIX,
        width=WIDTH,
        encoder_depth=1,
        decoder_depth=1,
        heads=2,
        decoder_width=8,
        decoder_heads=4,
    )


def bert() -> Bert:
    return Bert(count=COUNT, prefix=PREFIX, width=WIDTH, depth=2, heads=2, hidden=32)


def uvit() -> UVit:
    return UVit(count=COUNT, prefix=PREFIX, width=WIDTH, depth=4, heads=2, hidden=32)


class Told(nn.Module):
    """A backbone of scales together with what tells its slots of the tokens."""

    def __init__(self, prefix: int, **options: Any) -> None:
        super().__init__()
        self.backbone = ScaleTransformer(layout=PYRAMID, width=WIDTH, depth=2, heads=2, prefix=prefix, **options)
        self.quantizer = MultiScaleQuantizer(2, WIDTH, PYRAMID, phis=2)
        self.width, self.cache = WIDTH, self.backbone.cache
        for name, parameter in self.backbone.named_parameters():
            if "modulation" in name:
                nn.init.normal_(parameter, std=0.5)

    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        return self.backbone(self.quantizer.scale_inputs(x), *others)


def scaled() -> Told:
    return Told(0)


def scaled_with_prefix() -> Told:
    return Told(PREFIX)


def mixed_scales() -> Told:
    block = partial(MixedScaleBlock, mixer=partial(Mamba2, head=WIDTH // 2, state=4))
    return Told(PREFIX, block=block, visible=own)


def any_scales() -> AnyScaleTransformer:
    backbone = AnyScaleTransformer(count=14, width=WIDTH, depth=2, heads=2, prefix=PREFIX)
    for name, parameter in backbone.named_parameters():
        if "modulation" in name:
            nn.init.normal_(parameter, std=0.5)
    return backbone


def llama() -> LlamaTransformer:
    return LlamaTransformer(grid=GRID, prefix=PREFIX, width=WIDTH, depth=2, heads=2, hidden=32)


def llama_that_looks() -> LlamaTransformer:
    return LlamaTransformer(grid=GRID, prefix=PREFIX, width=WIDTH, depth=2, heads=2, hidden=32, muted=False)


def adaptive_llama() -> AdaptiveLlama:
    backbone = AdaptiveLlama(grid=GRID, prefix=PREFIX, width=WIDTH, depth=2, heads=2, hidden=32, muted=False)
    for name, parameter in backbone.named_parameters():
        if "modulation" in name:
            nn.init.normal_(parameter, std=0.5)
    return backbone


def diagonal() -> DiagonalTransformer:
    return DiagonalTransformer(grid=GRID, prefix=PREFIX, width=WIDTH, depth=2, heads=2, hidden=32)


class Asked(nn.Module):
    """A backbone whose contexts wait for noise, together with noise that no token has a part in."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone, self.width, self.cache = backbone, backbone.width, backbone.cache
        for name, parameter in backbone.named_parameters():
            if "modulation" in name:
                nn.init.normal_(parameter, std=0.5)

    def forward(
        self, x: Tensor, steps: Tensor, condition: Conditioning, targets: Tensor, cache: KeyValueCache | None = None
    ) -> Tensor:
        contexts = self.backbone(x, steps, condition, targets, cache)
        t = torch.arange(contexts.levels).expand(len(x), -1)
        return contexts(torch.ones(*targets.shape, WIDTH), t)


def noisy_cells() -> Asked:
    return Asked(CellTransformer(grid=GRID, width=WIDTH, encoder_depth=1, decoder_depth=1, heads=2))


def clean_cells() -> Asked:
    return Asked(CellTransformer(grid=GRID, width=WIDTH, encoder_depth=1, decoder_depth=1, heads=2, noisy=False))


def blockwise() -> Asked:
    return Asked(BlockwiseTransformer(axes=GRID, split=(1, 1), width=WIDTH, depth=2, heads=2))


class Shown(Asked):
    """A backbone whose slots are told the scale before, and whose contexts wait for noise."""

    def __init__(self, prefix: int, spatial: bool) -> None:
        semantics = ScaleTransformer(layout=PYRAMID, width=WIDTH, depth=2, heads=2, prefix=prefix)
        super().__init__(FlowScales(semantics, depth=1, heads=2, spatial=spatial))
        self.pyramid = Pyramid(Identity(WIDTH), PYRAMID)

    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        return super().forward(self.pyramid.scale_inputs(x), *others)


def flow_scales() -> Shown:
    return Shown(0, True)


def pooled_flow_scales_with_prefix() -> Shown:
    return Shown(PREFIX, False)


def raster() -> Steps:
    return Raster().training_steps(2, LAYOUT, Rng(0))


def permuted() -> Steps:
    return Rng(1).permutations(2, COUNT) + 1


def diagonals() -> Steps:
    return Diagonals().training_steps(2, LAYOUT, Rng(0))


def cells() -> Steps:
    return Cells((3, 2)).training_steps(2, LAYOUT, Rng(0))


def random_masks() -> Steps:
    return RandomMasked().training_steps(2, LAYOUT, Rng(2))


def scales() -> Steps:
    return Scales().training_steps(2, PYRAMID, Rng(0))


def all_scales() -> Steps:
    return AnyScales((1, 2, 3)).training_steps(2, all_sides(3), Rng(0))


def random_plan() -> Steps:
    return RandomMasked().decoding_steps(2, LAYOUT, 4, Rng(3))


def ranked_plan() -> Steps:
    return ArccosMasked().decoding_steps(2, LAYOUT, 4, Rng(4))


Cases = list[tuple[Callable[[], Backbone], Callable[[], Steps]]]
TRAINED: Cases = [
    (llama, raster),
    (llama_that_looks, raster),
    (adaptive_llama, raster),
    (diagonal, diagonals),
    (causal, raster),
    (causal, permuted),
    (adaptive, raster),
    (adaptive, permuted),
    (masked, random_masks),
    (narrowing, random_masks),
    (bert, random_masks),
    (uvit, random_masks),
    (scaled, scales),
    (scaled_with_prefix, scales),
    (mixed_scales, scales),
    (any_scales, all_scales),
    (flow_scales, scales),
    (pooled_flow_scales_with_prefix, scales),
    (clean_cells, cells),
    (blockwise, cells),
    (blockwise, permuted),
]
DRAWN: Cases = [
    (llama, raster),
    (llama_that_looks, raster),
    (adaptive_llama, raster),
    (diagonal, diagonals),
    (causal, raster),
    (causal, permuted),
    (adaptive, raster),
    (adaptive, permuted),
    (masked, random_plan),
    (masked, permuted),
    (narrowing, random_plan),
    (bert, ranked_plan),
    (uvit, ranked_plan),
    (scaled, scales),
    (scaled_with_prefix, scales),
    (mixed_scales, scales),
    (any_scales, all_scales),
    (flow_scales, scales),
    (pooled_flow_scales_with_prefix, scales),
    (noisy_cells, cells),
    (clean_cells, random_plan),
    (blockwise, cells),
    (blockwise, permuted),
]
KINDS = (TRAINED, DRAWN)


def named(cases: Cases) -> list[object]:
    return [pytest.param(*case, id="-".join(part.__name__ for part in case)) for case in cases]


def positions(chosen: Tensor) -> Tensor:
    """Where ``chosen`` holds; equally often in every row."""
    return chosen.nonzero()[:, 1].reshape(len(chosen), -1)


def assert_lawful(backbone: Backbone, steps: Steps, targets: Tensor) -> None:
    """The gradient of every wanted context is exactly 0 at tokens of its own or a later step, and is not at others."""
    torch.manual_seed(0)
    x = torch.randn(*steps.shape, WIDTH, requires_grad=True)
    prefix = torch.randn(len(steps), PREFIX, WIDTH, requires_grad=True)
    contexts = backbone(x, steps, Conditioning(prefix), targets)
    assert contexts.shape == (*targets.shape, backbone.width)
    weights = torch.randn(contexts.shape[-1])  # a plain sum would be blind to a normalised context
    for row in range(len(steps)):
        for place, token in enumerate(targets[row]):
            from_tokens, from_condition = torch.autograd.grad(
                contexts[row, place] @ weights, (x, prefix), retain_graph=True, materialize_grads=True
            )
            felt = from_tokens.abs().sum(-1)
            earlier = steps[row] < steps[row, token]
            assert (felt[row][~earlier] == 0).all(), f"the context of step {int(steps[row, token])} leaks"
            assert (felt[row][earlier] > 0).all(), "an earlier token is not read"
            assert (felt[1 - row] == 0).all(), "pictures of a batch see each other"
            assert from_condition[row].abs().sum(-1).gt(0).all(), "the condition is not read"


@pytest.mark.parametrize(("build", "plan"), named(TRAINED))
def test_training_does_not_leak(build: Callable[[], Backbone], plan: Callable[[], Steps]) -> None:
    torch.manual_seed(1)
    steps = plan()
    assert_lawful(build(), steps, positions(steps > 0))


@pytest.mark.parametrize(("build", "plan"), named(DRAWN))
def test_drawing_does_not_leak(build: Callable[[], Backbone], plan: Callable[[], Steps]) -> None:
    torch.manual_seed(1)
    backbone, steps = build(), plan()
    for step in range(1, int(steps.max()) + 1):
        assert_lawful(backbone, steps.clamp_max(step), positions(steps == step))


def test_every_backbone_is_held_to_the_law() -> None:
    held = set.intersection(*({type(part) for build, _ in cases for part in build().modules()} for cases in KINDS))
    for module in pkgutil.iter_modules(backbones.__path__, backbones.__name__ + "."):
        for name, kind in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if issubclass(kind, nn.Module) and kind.__module__ == module.name and not inspect.isabstract(kind):
                assert kind in held, f"{name} has no row in this test"


CACHED: Cases = [case for case in DRAWN if case[0]().cache() is not None]
WINDOWS = (1, 3, 1, 2)  # steps of successive passes, again and again


def windows(steps: Steps) -> list[tuple[int, int]]:
    """First and last step of passes that together decode all of a plan."""
    last, firsts = int(steps.max()), [1]
    while firsts[-1] <= last:
        firsts.append(firsts[-1] + WINDOWS[(len(firsts) - 1) % len(WINDOWS)])
    return [(first, min(after - 1, last)) for first, after in pairwise(firsts)]


def inputs(steps: Steps, seed: int = 0) -> tuple[Tensor, Tensor]:
    torch.manual_seed(seed)
    return (
        torch.randn(*steps.shape, WIDTH, dtype=torch.float64),
        torch.randn(len(steps), PREFIX, WIDTH, dtype=torch.float64),
    )


def known(steps: Steps, before: int) -> int:
    """Tokens of the steps before this one."""
    return int((steps[0] < before).sum())


@pytest.mark.parametrize(("build", "plan"), named(CACHED))
@torch.no_grad()
def test_a_cached_pass_over_several_steps_is_the_pass_without_a_cache(
    build: Callable[[], Backbone], plan: Callable[[], Steps]
) -> None:
    """Whatever the cache holds: the steps before, fewer after a roll-back, or the very steps that are wanted again."""
    backbone, steps = build().double(), plan()
    x, prefix = inputs(steps)
    cache = backbone.cache()
    for first, last in windows(steps):
        targets, now = positions((steps >= first) & (steps <= last)), steps.clamp_max(last)
        alone = backbone(x, now, Conditioning(prefix), targets)
        for attempt in ("new", "again", "rolled back", "from the beginning"):
            found = backbone(x, now, Conditioning(prefix), targets, cache)
            torch.testing.assert_close(found, alone, rtol=0, atol=1e-12, msg=lambda text, a=attempt: f"{a}: {text}")
            if attempt == "again":
                cache.keep(cache.lead + known(steps, max(first - 2, 1)))
            if attempt == "rolled back":
                cache.keep(0)


@pytest.mark.parametrize("accepted", [0, 1, 2])
@pytest.mark.parametrize(("build", "plan"), named(CACHED))
@torch.no_grad()
def test_what_was_drafted_and_rejected_was_never_there(
    build: Callable[[], Backbone], plan: Callable[[], Steps], accepted: int
) -> None:
    """After each pass three steps of other tokens are read, of which the first are then accepted."""
    backbone, steps = build().double(), plan()
    (x, prefix), (draft, _) = inputs(steps), inputs(steps, 1)
    cache = backbone.cache()
    assert isinstance(cache, Rewindable)
    last = int(steps.max())
    for step in range(1, last + 1):
        end = min(step + 3, last)
        drafted = torch.where((steps >= step + accepted)[..., None], draft, x)
        backbone(
            drafted, steps.clamp_max(end), Conditioning(prefix), positions((steps >= step) & (steps <= end)), cache
        )
        cache.keep(cache.lead + known(steps, min(step + accepted, last + 1)))
        targets, now = positions(steps == min(step + accepted, last)), steps.clamp_max(min(step + accepted, last))
        found = backbone(x, now, Conditioning(prefix), targets, cache)
        torch.testing.assert_close(found, backbone(x, now, Conditioning(prefix), targets), rtol=0, atol=1e-12)


@pytest.mark.parametrize("plan", [raster, permuted])
@pytest.mark.parametrize("build", [causal, adaptive])
@torch.no_grad()
def test_drawing_asks_what_training_taught(build: Callable[[], Backbone], plan: Callable[[], Steps]) -> None:
    """A context is the same, computed with all others in training or alone in drawing."""
    torch.manual_seed(0)
    backbone, steps = build().double(), plan()
    x = torch.randn(*steps.shape, WIDTH, dtype=torch.float64)
    prefix = torch.randn(len(steps), PREFIX, WIDTH, dtype=torch.float64)
    together = backbone(x, steps, Conditioning(prefix), torch.arange(COUNT).expand(2, COUNT))
    for step in range(1, COUNT + 1):
        targets = positions(steps == step)
        alone = backbone(x, steps.clamp_max(step), Conditioning(prefix), targets)
        torch.testing.assert_close(alone, together.take_along_dim(targets[..., None], 1), rtol=0, atol=1e-12)


@pytest.mark.parametrize("plan", [raster, permuted])
@pytest.mark.parametrize("build", [causal, adaptive])
@pytest.mark.parametrize(("kind", "bound"), [(torch.float64, 1e-13), (torch.float32, 2e-6)])
@torch.no_grad()
def test_kept_keys_and_values_change_nothing(
    plan: Callable[[], Steps], build: Callable[[], Backbone], kind: torch.dtype, bound: float
) -> None:
    """The cache is exact: a pass with it multiplies the same numbers. Only the order of a sum differs, because matrix
    products of one row and of many use different kernels; so fp32 differs in its last digits, and fp64 in its."""
    torch.manual_seed(0)
    backbone, steps = build().to(kind), plan()
    cache = backbone.cache()
    x, prefix = torch.randn(2, COUNT, WIDTH, dtype=kind), torch.randn(2, PREFIX, WIDTH, dtype=kind)
    for step in range(1, COUNT + 1):
        targets, known = positions(steps == step), steps.clamp_max(step)
        kept = backbone(x, known, Conditioning(prefix), targets, cache)
        torch.testing.assert_close(kept, backbone(x, known, Conditioning(prefix), targets), rtol=0, atol=bound)
        assert cache.length(0) == PREFIX + step


@torch.no_grad()
def test_modulations_made_ahead_change_nothing() -> None:
    """They are made for many slots at once, anew when those are used up."""
    torch.manual_seed(0)
    count = 2 * AHEAD + 3
    backbone = AdaptiveCausalTransformer(count=count, prefix=1, width=WIDTH, depth=1, heads=2)
    for layer in (*backbone.modulations, backbone.last_modulation):
        nn.init.normal_(layer.weight)
    calls: list[int] = []
    backbone.last_modulation.register_forward_hook(lambda module, inputs, output: calls.append(output.shape[1]))
    x, prefix, steps = torch.randn(1, count, WIDTH), torch.randn(1, 1, WIDTH), Rng(3).permutations(1, count) + 1
    together = backbone(x, steps, Conditioning(prefix), steps.argsort(1))
    cache = backbone.cache()
    alone = [
        backbone(x, steps.clamp_max(s), Conditioning(prefix), positions(steps == s), cache) for s in range(1, count + 1)
    ]
    torch.testing.assert_close(torch.cat(alone, 1), together, rtol=0, atol=2e-5)
    assert calls == [count + 1, AHEAD, AHEAD, count + 1 - 2 * AHEAD]


@pytest.mark.parametrize("build", [scaled, scaled_with_prefix])
@torch.no_grad()
def test_scales_are_drawn_as_trained_and_kept_exactly(build: Callable[[], Told]) -> None:
    """A context is the same among all others in training, alone in drawing, and by kept keys, values and modulations;
    and a cached pass computes the slots of its scale and no others."""
    torch.manual_seed(0)
    backbone, steps = build().double(), scales()
    x = torch.randn(*steps.shape, WIDTH, dtype=torch.float64)
    prefix = torch.randn(len(steps), PREFIX, WIDTH, dtype=torch.float64)
    together = backbone(x, steps, Conditioning(prefix), torch.arange(COUNT).expand(2, COUNT))
    computed: list[int] = []
    backbone.backbone.blocks[0].register_forward_hook(lambda module, inputs, output: computed.append(output.shape[1]))
    cache, lead = backbone.cache(), backbone.backbone.prefix
    for step in (1, 2, 3):
        targets, known = positions(steps == step), steps.clamp_max(step)
        alone, kept = (backbone(x, known, Conditioning(prefix), targets, memory) for memory in (None, cache))
        torch.testing.assert_close(alone, together.take_along_dim(targets[..., None], 1), rtol=0, atol=1e-12)
        torch.testing.assert_close(kept, alone, rtol=0, atol=1e-13)
        assert cache.length(0) == lead + int((steps[0] <= step).sum())
    assert computed == [1 + lead, 1 + lead, 4 + lead, 3, 12 + lead, 8]


SLOTTED = [(llama, raster), (llama_that_looks, raster), (diagonal, diagonals)]


@pytest.mark.parametrize(("build", "plan"), named(SLOTTED))
@pytest.mark.parametrize(("kind", "bound"), [(torch.float64, 1e-13), (torch.float32, 2e-6)])
@pytest.mark.parametrize("padded", [False, True])
@torch.no_grad()
def test_slots_alone_or_kept_tell_what_they_tell_together(
    build: Callable[[], Backbone], plan: Callable[[], Steps], kind: torch.dtype, bound: float, padded: bool
) -> None:
    """A context is the same in training, where all are computed at once, in drawing, and in drawing with a cache."""
    torch.manual_seed(0)
    backbone, steps = build().to(kind), plan()
    x, prefix = torch.randn(2, COUNT, WIDTH, dtype=kind), torch.randn(2, PREFIX, WIDTH, dtype=kind)
    condition = Conditioning(prefix, torch.tensor([[False, True], [True, True]]) if padded else None)
    together = backbone(x, steps, condition, torch.arange(COUNT).expand(2, COUNT))
    cache = backbone.cache()
    for step in range(1, int(steps.max()) + 1):
        targets, known = positions(steps == step), steps.clamp_max(step)
        alone, kept = (backbone(x, known, condition, targets, memory) for memory in (None, cache))
        for contexts in (alone, kept):
            torch.testing.assert_close(contexts, together.take_along_dim(targets[..., None], 1), rtol=0, atol=bound)
        assert cache.length(0) == PREFIX + int((steps[0] < step).sum())


@pytest.mark.parametrize(("build", "plan"), named(SLOTTED))
@torch.no_grad()
def test_padding_is_not_read(build: Callable[[], Backbone], plan: Callable[[], Steps]) -> None:
    """A picture told of by two slots, the first of which pads, hears the second alone."""
    torch.manual_seed(0)
    backbone, steps = build(), plan()
    x, targets = torch.randn(2, COUNT, WIDTH), torch.arange(COUNT).expand(2, COUNT)
    prefix = torch.randn(2, PREFIX, WIDTH)
    read = torch.tensor([[False, True], [True, True]])
    told = backbone(x, steps, Conditioning(prefix, read), targets)
    prefix[:, 0] += 1.0
    other = backbone(x, steps, Conditioning(prefix, read), targets)
    assert torch.equal(told[0], other[0])
    assert not torch.isclose(told[1], other[1]).any(-1).all()

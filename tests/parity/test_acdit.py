"""ACDiT against the authors' code: same weights, same draws, same numbers."""

from __future__ import annotations

import math

import pytest
import torch
from einops import rearrange
from tests.parity.goldens import Golden, Replay, agree, goldens
from torch import Tensor

from limner.decode.decoder import Decoder
from limner.decode.schedules import constant
from limner.generators.backbones.denoising import NoisedBlocks
from limner.generators.generator import Generator
from limner.generators.heads.head import SamplingOptions
from limner.generators.heads.trunk import Diffusion
from limner.processes.solvers import linspace_timesteps
from limner.store.official.acdit import (
    ACDIT_B,
    ACDIT_H,
    ACDIT_L,
    ACDIT_XL,
    NAMES,
    AcditSizes,
    blocks_of,
    official_generator,
    prepare,
)
from limner.store.release import fill, official_name
from limner.types import Rng


def sizes(golden: Golden) -> AcditSizes:
    """The fixture's settings in our words."""
    config = golden.config
    side = math.isqrt(config["spatial"])
    film = config["frames"] > 1
    split = config["nd_split"] or ("2_3_3" if film else "1_1")
    return AcditSizes(
        width=config["hidden"],
        depth=config["depth"],
        heads=config["heads"],
        axes=(config["frames"], side, side) if film else (side, side),
        split=tuple(int(part) for part in split.split("_")),
        block=(math.isqrt(config["block"]),) * 2 if config["square"] else config["block"],
        channels=config["latent"],
        classes=config["classes"],
        steps=config["steps"],
        drop=config["drop"],
    )


def filled(golden: Golden) -> Generator:
    generator = official_generator(sizes(golden)).eval()
    fill(generator, prepare(golden.state()), NAMES)
    return generator


def sequence(golden: Golden) -> Tensor:
    """Positions of the tokens, block by block."""
    layout, order = blocks_of(sizes(golden))
    return order.training_steps(1, layout, Rng(0))[0].argsort(stable=True)


def rastered(golden: Golden, blocks: Tensor) -> Tensor:
    """The fixture's ``[b, blocks, tokens, c]`` as ours."""
    return blocks.flatten(1, 2)[:, sequence(golden).argsort()]


def unfolded(golden: Golden, tokens: Tensor) -> Tensor:
    """Our tokens as latents ``[b c h w]``, of films ``[b frames c h w]``; a patch has its channels last."""
    side = math.isqrt(golden.config["spatial"])
    patch = round((golden.config["latent"] / golden["in.vae_latents"].shape[-3]) ** 0.5)
    latents = rearrange(
        tokens, "b (t h w) (p q c) -> b t c (h p) (w q)", t=golden.config["frames"], h=side, p=patch, q=patch
    )
    return latents if golden.config["frames"] > 1 else latents[:, 0]


@pytest.mark.parametrize("golden", goldens("acdit", having="out.tokens"))
def test_blocks(golden: Golden) -> None:
    tokens = rastered(golden, golden["in.blocks"])
    assert torch.equal(tokens, golden["out.tokens"].reshape(tokens.shape))
    assert torch.equal(unfolded(golden, tokens), golden["in.vae_latents"].reshape(unfolded(golden, tokens).shape))


@pytest.mark.parametrize("golden", goldens("acdit", having="out.rope_cos"))
def test_places(golden: Golden) -> None:
    axes = sizes(golden).axes
    places = torch.stack(torch.meshgrid(*(torch.arange(length) for length in axes), indexing="ij")).flatten(1)
    assert torch.equal(places[:, sequence(golden)], golden["out.position_ids"])
    rope = official_generator(sizes(golden)).backbone.rope[sequence(golden)]
    agree(rope[..., 0], golden["out.rope_cos"], 1e-6)
    agree(rope[..., 1], golden["out.rope_sin"], 1e-6)


def contexts(golden: Golden, generator: Generator, batch: int) -> NoisedBlocks:
    """All blocks of the first pictures, waiting for noise."""
    steps = generator.order.training_steps(batch, generator.layout, Rng(0))
    prefix = generator.condition(golden["in.labels"][:batch], torch.zeros(batch, dtype=torch.bool))
    everything = torch.arange(generator.count).expand(batch, -1)
    return generator.contexts(rastered(golden, golden["in.blocks"])[:batch], steps, prefix, everything)


@pytest.mark.parametrize("golden", goldens("acdit", having="out.mask"))
def test_mask(golden: Golden) -> None:
    """The official mask holds clean tokens, then noised ones; ours leaves out the last clean block, seen by nothing."""
    count, read = len(golden["out.mask"]) // 2, len(golden["out.mask"]) // 2 - golden.config["block"]
    noised = golden["out.mask"][count:]
    assert not golden["out.mask"][:count, count:].any()
    assert not noised[:, read:count].any()
    visible = contexts(golden, filled(golden), 1).mask
    wanted = torch.cat([noised[:, :read], noised[:, count:]], dim=1)
    assert torch.equal(torch.ones_like(wanted) if visible is None else visible, wanted)
    layout, order = blocks_of(sizes(golden))
    steps = order.training_steps(1, layout, Rng(0))[0][sequence(golden)]
    assert torch.equal(golden["out.mask"][:count, :count], steps[:, None] >= steps)


@pytest.mark.parametrize("golden", goldens("acdit", having="out.train.noised"))
def test_noise(golden: Golden) -> None:
    times = golden["in.train.t"][..., None].expand(-1, -1, golden.config["block"])
    noised, wanted = Diffusion().noised(
        golden["in.blocks"].flatten(1, 2), times.flatten(1), golden["in.train.noise"].flatten(1, 2)
    )
    agree(noised, golden["out.train.noised"].flatten(1, 2), 1e-6)
    assert torch.equal(wanted, golden["in.train.noise"].flatten(1, 2))


@pytest.mark.parametrize("golden", goldens("acdit", having="out.train.loss"))
def test_loss_and_gradients(golden: Golden) -> None:
    generator = filled(golden).train()
    answers: list[Tensor] = []
    generator.head.output.register_forward_hook(lambda module, given, out: answers.append(out.detach()))
    uniform = [golden["in.train.drop_rand"], (golden["in.train.t"] + 0.5) / 1000]
    replay = Replay(uniform=uniform, normal=[rastered(golden, golden["in.train.noise"])])
    loss = generator.loss(rastered(golden, golden["in.blocks"]), golden["in.labels"], replay)
    replay.finish()
    agree(answers[0][:, sequence(golden)], golden["out.train.eps"])
    agree(loss, golden["out.train.loss"])
    loss.backward()
    ours = {official_name(name, NAMES): parameter.grad for name, parameter in generator.named_parameters()}
    recorded = prepare(golden.under("out.train.grad."))
    assert recorded
    for name, wanted in recorded.items():
        gradient = ours[name]
        assert gradient is not None, name
        scale = wanted.abs().max().clamp_min(1e-12)  # gradients are small: compare shares of the largest
        agree(gradient / scale, wanted / scale)


@pytest.mark.parametrize("golden", goldens("acdit", having="out.eval.masked"))
@torch.no_grad()
def test_masked_and_cached(golden: Golden) -> None:
    generator, batch = filled(golden), len(golden["out.eval.masked"])
    noised, clean = (rastered(golden, golden[key])[:batch] for key in ("out.train.noised", "in.blocks"))
    together = contexts(golden, generator, batch)
    t = torch.full((batch, 1), 500)
    found = generator.head.answer(together, noised, t.expand(-1, golden.config["ar_len"]))
    agree(found[:, sequence(golden)], golden["out.eval.masked"])
    steps, cache = generator.order.training_steps(batch, generator.layout, Rng(0)), generator.backbone.cache()
    prefix = generator.condition(golden["in.labels"][:batch], torch.zeros(batch, dtype=torch.bool))
    blocks = []
    for step in range(1, golden.config["ar_len"] + 1):
        wanted = (steps == step).nonzero()[:, 1].reshape(batch, -1)
        alone = generator.contexts(clean, steps.clamp_max(step), prefix, wanted, cache)
        blocks.append(generator.head.answer(alone, noised[:, wanted[0]], t))
        assert cache.length(0) == (step - 1) * golden.config["block"]
    agree(torch.cat(blocks, dim=1), golden["out.eval.cached"])


@pytest.mark.parametrize("golden", goldens("acdit", having="out.sched.sigmas"))
def test_visited_noise_levels(golden: Golden) -> None:
    signal = torch.from_numpy(Diffusion().schedule.signal)
    for suffix in (key.removeprefix("timesteps") for key in golden.under("out.sched.") if "timesteps" in key):
        wanted = golden[f"out.sched.timesteps{suffix}"]
        timesteps = linspace_timesteps(len(signal), len(wanted))
        assert timesteps == wanted.tolist()
        sigmas = (1 / signal[timesteps] - 1).sqrt()
        agree(torch.cat([sigmas, torch.zeros(1)]), golden[f"out.sched.sigmas{suffix}"], 1e-5)


DRAWINGS = [
    pytest.param(case.values[0], mode, id=f"{case.id}-{mode}")
    for mode in ("sample_cfg", "sample_nocfg")
    for case in goldens("acdit", having=f"out.{mode}.latents")
]


def test_no_golden_is_missing() -> None:
    assert DRAWINGS


def drawn_labels(golden: Golden, mode: str) -> Tensor:
    """Of the images that were drawn: recorded with them, or the first of those trained on."""
    batch = len(golden[f"out.{mode}.latents"])
    recorded = (key for key in (f"in.{mode}.labels", "in.sample.labels", "in.labels") if key in golden.tensors)
    return golden[next(recorded)][:batch]


def recorded_noise(golden: Golden, mode: str) -> list[Tensor]:
    """Of every block in turn; without guidance it may be recorded once for both ways of drawing."""
    keys = (f"in.{mode}.init_noise", "in.sample.init_noise", "in.sample_cfg.init_noise", "in.sample_nocfg.init_noise")
    return list(golden[next(key for key in keys if key in golden.tensors)])


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize(("golden", "mode"), DRAWINGS)
@torch.no_grad()
def test_drawing(golden: Golden, mode: str, cached: bool) -> None:
    generator, steps = filled(golden), golden.config["steps"]
    states: list[Tensor] = []
    answers: list[Tensor] = []
    told: list[int] = []
    answer = generator.head.answer

    def witness(blocks: NoisedBlocks, noised: Tensor, t: Tensor) -> Tensor:
        states.append(noised)
        answers.append(answer(blocks, noised, t))
        told.append(int(t[0, 0]))
        return answers[-1]

    generator.head.answer = witness
    replay = Replay(normal=recorded_noise(golden, mode))
    options = SamplingOptions(guidance=golden.config["cfg"] if mode == "sample_cfg" else 1.0)
    drawn: list[Tensor] = []
    tokens = Decoder(generator, options, guidance=constant, cached=cached)(
        drawn_labels(golden, mode),
        replay,
        watch=lambda step, total, tokens, plan: drawn.append(tokens[:, plan[0] == step]),
    )
    replay.finish()
    assert len(drawn) == golden.config["ar_len"]
    for block, last in enumerate(drawn):
        part = slice(block * steps, (block + 1) * steps)
        assert told[part] == golden.card["extra"][f"{mode.removeprefix('sample_')}_timesteps_seen"][block]
        after = torch.stack([*states[part][1:], last])
        agree(after, golden[f"out.{mode}.block{block}.x"])
        agree(torch.stack(answers[part]), golden[f"out.{mode}.block{block}.eps"])
        agree(last, golden[f"out.{mode}.latents"][:, block])
    agree(unfolded(golden, tokens), golden[f"out.{mode}.vae_latents"].reshape(unfolded(golden, tokens).shape))


@pytest.mark.parametrize(
    ("size", "millions"), [(ACDIT_B, 130.3), (ACDIT_L, 457.9), (ACDIT_XL, 674.9), (ACDIT_H, 951.0)]
)
def test_published_sizes(size: AcditSizes, millions: float) -> None:
    with torch.device("meta"):
        generator = official_generator(size)
    assert sum(p.numel() for p in generator.parameters()) / 1e6 == pytest.approx(millions, rel=1e-3)

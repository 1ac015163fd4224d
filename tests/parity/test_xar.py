"""xAR against the authors' code: same weights, same draws, same numbers."""

from __future__ import annotations

import re

import pytest
import torch
from tests.parity.goldens import Golden, Replay, agree, goldens
from torch import Tensor

from limner.decode.decoder import Decoder
from limner.decode.schedules import with_steps
from limner.generators.conditions import Conditioning
from limner.generators.generator import Generator
from limner.generators.heads.head import SamplingOptions
from limner.store.official.xar import (
    NAMES,
    SKIP,
    XAR_BASE,
    XAR_HUGE,
    XAR_LARGE,
    XarSizes,
    official_generator,
    prepare,
    sizes_of,
)
from limner.store.release import fill, official_name
from limner.types import Rng


def sizes(golden: Golden) -> XarSizes:
    """The fixture's settings in our words; what the official code hard-codes from shapes."""
    config, state = golden.config, golden.state()
    cells, _, tokens, channels = golden["out.clusters"].shape
    number = re.search(r"<\s*([\d.]+)", golden.card["tensors"]["in.train.drop_rand"]["meaning"])
    assert number is not None
    return XarSizes(
        width=config["w"],
        encoder_depth=config["d"],
        decoder_depth=config["d"],
        heads=config["h"],
        steps=config["steps"],
        grid=round((cells * tokens) ** 0.5),
        cell=round(tokens**0.5),
        channels=channels,
        classes=len(state["class_emb.weight"]) - 1,
        drop=float(number[1]),
        dropout=0.0,
    )


def filled(golden: Golden) -> Generator:
    generator = official_generator(sizes(golden)).eval()
    fill(generator, prepare(golden.state()), NAMES, skip=SKIP)
    return generator


def cell_order(generator: Generator) -> Tensor:
    """Positions of the tokens, cell by cell."""
    return generator.order.training_steps(1, generator.layout, Rng(0))[0].argsort(stable=True)


def rastered(generator: Generator, values: Tensor) -> Tensor:
    """The fixture's ``[cells, b, tokens, ...]`` as ours, ``[b, n, ...]``."""
    return values.transpose(0, 1).flatten(1, 2)[:, cell_order(generator).argsort()]


def tokens_of(latents: Tensor) -> Tensor:
    """``[b c h w]`` as tokens."""
    return latents.flatten(2).mT.contiguous()


@pytest.mark.parametrize("golden", goldens("xar", having="out.clusters"))
def test_cells(golden: Golden) -> None:
    generator = official_generator(sizes(golden))
    assert torch.equal(rastered(generator, golden["out.clusters"]), tokens_of(golden["in.latents"]))
    steps = generator.order.decoding_steps(2, generator.layout, None, Rng(0))
    assert torch.bincount(steps[0]).tolist() == [0, *[golden["out.clusters"].shape[2]] * len(golden["out.clusters"])]


@pytest.mark.parametrize("golden", goldens("xar"))
def test_places_and_mask(golden: Golden) -> None:
    generator, state = filled(golden), golden.state()
    order = cell_order(generator)
    for half in ("encoder", "decoder"):
        table = generator.backbone.rope[order].repeat_interleave(2, dim=1)
        agree(table[..., 0], state[f"{half}_blocks.0.attn.rope.freqs_cos"], 1e-6)
        agree(table[..., 1], state[f"{half}_blocks.0.attn.rope.freqs_sin"], 1e-6)
    steps, everything = generator.order.training_steps(1, generator.layout, Rng(0)), torch.arange(generator.count)[None]
    x, prefix = (torch.zeros(1, count, generator.backbone.width) for count in (generator.count, 1))
    assert torch.equal(generator.backbone(x, steps, Conditioning(prefix), everything).mask, state["mask"][0, 0] == 0)


def training_draws(golden: Golden, generator: Generator) -> Replay:
    """The official training step's draws in the order in which ours wants them."""
    batch = len(golden["in.labels"])
    times = golden["in.train.t"].double().reshape(-1, batch).T
    noise = rastered(generator, golden["in.train.noise"])
    return Replay(uniform=[golden["in.train.drop_rand"]], normal=[times.logit().float(), noise])


@pytest.mark.parametrize("golden", goldens("xar", having="out.train.loss"))
def test_loss_and_gradients(golden: Golden) -> None:
    generator = filled(golden).train()
    replay = training_draws(golden, generator)
    loss = generator.loss(tokens_of(golden["in.latents"]), golden["in.labels"], replay)
    replay.finish()
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


DRAWINGS = [
    pytest.param(case.values[0], mode, id=f"{case.id}-{mode}")
    for mode in ("sample_cfg", "sample_nocfg")
    for case in goldens("xar", having=f"out.{mode}.latents")
]


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize(("golden", "mode"), DRAWINGS)
@torch.no_grad()
def test_drawing(golden: Golden, mode: str, cached: bool) -> None:
    generator = filled(golden)
    start, noise = golden[f"in.{mode}.init"], golden[f"in.{mode}.eps"]
    replay = Replay(normal=[draw for cell, rest in zip(start, noise, strict=True) for draw in (cell, *rest)])
    told: list[list[int]] = []
    generator.backbone.time.register_forward_hook(lambda module, given, out: told.append(given[0].unique().tolist()))
    options = SamplingOptions(guidance=golden.config["cfg"] if mode == "sample_cfg" else 1.0)
    seen: list[Tensor] = []
    tokens = Decoder(generator, options, guidance=with_steps, cached=cached)(
        golden["in.labels"],
        replay,
        watch=lambda step, total, tokens, steps: seen.append(tokens[:, steps[0] == step]),
    )
    replay.finish()
    assert len(seen) == len(start)
    for cell, drawn in enumerate(seen):
        agree(drawn, golden[f"out.{mode}.cluster{cell}"])
    agree(tokens, tokens_of(golden[f"out.{mode}.latents"]))
    if cached:
        calls = len(golden.under(f"out.{mode}.tint")) - 1
        official = [golden[f"out.{mode}.tint{call}"].unique_consecutive().tolist() for call in range(calls)]
        flat = [level for call in official for level in call]
        assert [level for call in told for level in call][: len(flat)] == flat


@pytest.mark.parametrize("golden", goldens("xar"))
def test_sizes_are_read_from_shapes(golden: Golden) -> None:
    found, wanted = sizes_of(prepare(golden.state())), sizes(golden)
    for name in ("width", "encoder_depth", "decoder_depth", "heads", "grid", "cell", "channels", "classes"):
        assert getattr(found, name) == getattr(wanted, name), name


@pytest.mark.parametrize(("size", "millions"), [(XAR_BASE, 172.6), (XAR_LARGE, 608.4), (XAR_HUGE, 1186.0)])
def test_published_sizes(size: XarSizes, millions: float) -> None:
    with torch.device("meta"):
        generator = official_generator(size)
    assert sum(p.numel() for p in generator.parameters()) / 1e6 == pytest.approx(millions, rel=1e-3)

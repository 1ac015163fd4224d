"""RAR against the authors' code: same weights, same orders, same numbers."""

from __future__ import annotations

import math

import pytest
import torch
from tests.parity.goldens import TESTS, Golden, Replay, agree, goldens
from torch import Tensor, nn

from limner.decode.decoder import Decoder
from limner.decode.schedules import Moment, power_cosine
from limner.errors import CheckpointError
from limner.generators.conditions import Conditioning
from limner.generators.generator import Generator
from limner.generators.heads.head import SamplingOptions, guide
from limner.generators.orders import Permuted, annealed_share
from limner.store.official.rar import (
    GENERATOR_NAMES,
    RAR_BASE,
    RAR_LARGE,
    RAR_XL,
    RAR_XXL,
    RELEASES,
    RarSizes,
    official_decoder,
    official_generator,
    prepared,
    sizes_of,
)
from limner.store.release import official_name
from limner.types import Rng

(RELEASE,) = RELEASES


def sizes(golden: Golden) -> RarSizes:
    """The official configuration in our words."""
    config, codebook = golden.config["model"]["generator"], golden.config["model"]["vq_model"]
    return RarSizes(
        width=config["hidden_size"],
        depth=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        hidden=config["intermediate_size"],
        count=config["image_seq_len"],
        entries=codebook["codebook_size"],
        classes=config["condition_num_classes"],
        drop=config["class_label_dropout"],
        dropout=config["dropout"],
    )


def filled(golden: Golden) -> Generator:
    generator = official_generator(sizes(golden)).eval()
    RELEASE.fill(generator, golden.state())
    return generator


def logits(generator: Generator, ids: Tensor, orders: Tensor, prefix: Conditioning) -> Tensor:
    """Of every token, in the order of drawing."""
    return generator.head.logits(generator.contexts(ids, orders.argsort(1) + 1, prefix, orders))


def test_no_golden_is_missing() -> None:
    assert goldens("rar", having="out.train.logits")


# Network and loss. The official code also computes logits after the last token, which predict nothing; ours does not.


@pytest.mark.parametrize("golden", goldens("rar", having="out.train.logits"))
@torch.no_grad()
def test_logits_of_permuted_pictures(golden: Golden) -> None:
    generator, orders = filled(golden), golden["in.train.orders"]
    dropped = golden["in.train.drop_rand"] < sizes(golden).drop
    labels, none = golden["in.labels"], sizes(golden).entries + 1 + sizes(golden).classes
    assert torch.equal(torch.where(dropped, none, labels + sizes(golden).entries + 1), golden["out.train.condition"])
    ours = logits(generator, golden["in.ids"], orders, generator.condition(labels, dropped))
    agree(ours, golden["out.train.logits"][:, :-1])
    assert torch.equal(golden["in.ids"].gather(1, orders), golden["out.train.labels"])


@pytest.mark.parametrize("golden", goldens("rar", having="out.raster.logits"))
@torch.no_grad()
def test_logits_of_raster_pictures(golden: Golden) -> None:
    generator, ids = filled(golden), golden["in.ids"]
    raster = torch.arange(ids.shape[1]).expand_as(ids)
    prefix = generator.condition(golden["in.labels"], torch.zeros(len(ids), dtype=torch.bool))
    agree(logits(generator, ids, raster, prefix), golden["out.raster.logits"][:, :-1])


def official_gradients(generator: Generator) -> dict[str, Tensor]:
    """Ours under the authors' names, their tables of positions with the row that only the last slot would read."""
    found = {official_name(name, GENERATOR_NAMES): p.grad for name, p in generator.named_parameters()}
    lead = torch.zeros_like(found["pos_embed.prefix"])
    found["pos_embed"] = torch.cat([found.pop("pos_embed.prefix"), found.pop("pos_embed.tokens")], dim=1)
    found["target_aware_pos_embed"] = torch.cat([lead, found["target_aware_pos_embed"]], dim=1)
    return found


@pytest.mark.parametrize("golden", goldens("rar", having="out.train.loss"))
def test_loss_and_gradients(golden: Golden) -> None:
    generator, orders = filled(golden), golden["in.train.orders"]
    generator.order = Permuted(share=1.0)
    replay = Replay(uniform=[torch.zeros(len(orders)), golden["in.train.drop_rand"]], permutations=[orders.argsort(1)])
    loss = generator.loss(golden["in.ids"], golden["in.labels"], replay)
    replay.finish()
    agree(loss, golden["out.train.loss"])
    loss.backward()
    ours, recorded = official_gradients(generator), golden.under("out.train.grad.")
    assert recorded
    for name, wanted in recorded.items():
        gradient = ours[name]
        if gradient.shape != wanted.shape:  # the golden keeps the first rows of a long table; those beyond ours are 0
            rows = min(gradient.shape[1], wanted.shape[1])
            assert not wanted[:, rows:].any()
            gradient, wanted = gradient[:, :rows], wanted[:, :rows]
        scale = wanted.abs().max().clamp_min(1e-12)
        agree(gradient / scale, wanted / scale)


# Drawing


class Replaying(nn.Module):
    """A head that notes its logits, and draws what was recorded."""

    def __init__(self, head: nn.Module, ids: Tensor) -> None:
        super().__init__()
        self.head, self.embed, self.blank, self.ids = head, head.embed, head.blank, ids
        self.raw: list[Tensor] = []
        self.strengths: list[float] = []
        self.probabilities: list[Tensor] = []

    def sample(self, contexts: Tensor, guided: bool, options: SamplingOptions, rng: Rng) -> Tensor:
        raw = self.head.logits(contexts)[:, 0]
        logits = guide(raw, options.guidance) if guided else raw
        self.raw.append(raw)
        self.strengths.append(options.guidance)
        self.probabilities.append((logits / options.temperature).softmax(-1))
        return self.ids[:, len(self.raw) - 1 : len(self.raw)]


def steering(golden: Golden, mode: str) -> tuple[SamplingOptions, float]:
    """Guidance, temperature and power of a recorded drawing, which its card does not tell.

    ``log p = (u + g_s (c - u)) / T - const`` is linear in 1/T and g_s/T, so each step gives both; of all powers and
    guidances of two digits, one pair repeats every g_s.
    """
    raw, probabilities = golden[f"out.{mode}.raw"].double(), golden[f"out.{mode}.probs"].double()
    conditional, unconditional = raw.chunk(2)
    counted = probabilities > 1e-20  # fp32 holds no smaller ones well
    parts = torch.stack([unconditional, conditional - unconditional, probabilities.clamp_min(1e-20).log()]) * counted
    centred = (parts - parts.sum(-1, keepdim=True) / counted.sum(-1, keepdim=True)) * counted
    rows = centred.permute(2, 1, 3, 0).flatten(1, 2)  # [steps, batch * codes, 3]
    inverse, strength = torch.linalg.lstsq(rows[..., :2], rows[..., 2:]).solution[..., 0].unbind(-1)
    found = strength / inverse
    temperature = round(float(1 / inverse.mean()), 3)

    def error(power: float, guidance: float) -> float:
        schedule = power_cosine(power)
        told = [schedule(guidance, Moment(s + 1, len(found), s, s + 1, len(found))) for s in range(len(found))]
        return float((torch.tensor(told, dtype=torch.double) - found).abs().max())

    last = float(found[-1]) - 1.0
    candidates = []
    for power in (digit / 100 for digit in range(501)):
        share = (1.0 - math.cos(math.pi * ((len(found) - 1) / len(found)) ** power)) / 2.0
        candidates.append((power, round(1.0 + last / share, 2)))
    power, guidance = min(candidates, key=lambda pair: error(*pair))
    return SamplingOptions(guidance=guidance, temperature=temperature), power


DRAWINGS = [
    pytest.param(case.values[0], key.removeprefix("out.").removesuffix(".raw"), id=f"{case.id}-{key}")
    for case in goldens("rar")
    for key in case.values[0].card["tensors"]
    if key.startswith("out.gen") and key.endswith(".raw")
]


@pytest.mark.parametrize(("golden", "mode"), DRAWINGS)
@torch.no_grad()
def test_drawing(golden: Golden, mode: str) -> None:
    generator, ids = filled(golden), golden[f"in.{mode}.ids"]
    generator.head = head = Replaying(generator.head, ids)
    options, power = steering(golden, mode)
    decoder = Decoder(generator, options, guidance=power_cosine(power), cached=not mode.endswith("nokv"))
    tokens = decoder(golden["in.labels"][: len(ids)], Rng(0))
    assert torch.equal(tokens, ids)
    assert len(head.raw) == ids.shape[1]
    for step, raw in enumerate(head.raw):  # without a cache, steps of guidance 1 ask for nothing unconditional
        agree(raw, golden[f"out.{mode}.raw"][: len(raw), step])
        assert len(raw) == 2 * len(ids) or (head.strengths[step] == 1.0 and not decoder.cached)
    agree(torch.stack(head.probabilities, 1), golden[f"out.{mode}.probs"])


# Names and sizes


@pytest.mark.parametrize("golden", goldens("rar"))
def test_sizes_are_read_from_shapes(golden: Golden) -> None:
    found, own = sizes_of(prepared(golden.state())), sizes(golden)
    for name in ("width", "depth", "heads", "hidden", "count", "entries", "classes"):
        assert getattr(found, name) == getattr(own, name), name
    assert [release.fits(golden.state()) for release in RELEASES] == [True]


@pytest.mark.parametrize(
    ("size", "millions", "wanted"),
    [
        (RAR_BASE, 261, (1.0, 16.0, 2.75)),
        (RAR_LARGE, 461, (1.02, 15.5, 2.5)),
        (RAR_XL, 955, (1.02, 6.9, 1.5)),
        (RAR_XXL, 1499, (1.02, 8.0, 1.2)),
    ],
)
def test_published_sizes(size: RarSizes, millions: int, wanted: tuple[float, float, float]) -> None:
    with torch.device("meta"):
        generator = official_generator(size)
    never_read = 1023 + 1024 + 99 + 1  # rows of their positions, target positions, times and embeddings
    own = sum(p.numel() for p in generator.parameters())
    assert (own + never_read * size.width) / 1e6 == pytest.approx(millions, abs=0.7)
    options = official_decoder(generator, size).options
    assert (options.temperature, options.guidance, size.power) == wanted
    assert (options.top_k, options.top_p) == (0, 1.0)


def test_the_share_of_permuted_pictures() -> None:
    steps = (0, 125_000, 156_250, 187_500, 250_000)  # of the published 250 thousand
    assert [annealed_share(step / 250_000) for step in steps] == [1.0, 1.0, 0.5, 0.0, 0.0]


def test_a_state_that_does_not_fit_is_named() -> None:
    golden = Golden(TESTS / "golden" / "rar-a.json")
    generator, state = official_generator(sizes(golden)), golden.state()
    state["lm_head.bias"] = state.pop("lm_head.bias")[:-1]
    with pytest.raises(CheckpointError, match=r"lm_head.bias is \[39\] and not \[40\]"):
        RELEASE.fill(generator, state)
    del state["lm_head.bias"]
    with pytest.raises(CheckpointError, match=r"lacks lm_head\.bias: give the weights of a whole RAR"):
        RELEASE.fill(generator, state)

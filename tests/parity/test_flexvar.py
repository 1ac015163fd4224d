"""FlexVAR against the authors' code: same weights, same draws, same numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.parity.drawing import landing
from tests.parity.goldens import Golden, Replay, agree, goldens
from torch import Tensor, nn
from torch.nn import functional

from limner.decode.decoder import Decoder
from limner.decode.schedules import constant
from limner.generators.generator import Generator
from limner.generators.heads.categorical import probabilities
from limner.generators.heads.head import SamplingOptions, guide
from limner.store.official import flexvar
from limner.store.official.flexvar import FlexVarSizes, GreedyBeyond, GrowingGuidance
from limner.store.official.llamagen import LlamaGenTokenizerSizes
from limner.store.release import official_name
from limner.store.released import recognise
from limner.tokenizers.free_scales import FreeScaleQuantizer, FreeScaleTokenizer, all_sides
from limner.tokenizers.quantizers.learned import LearnedCodebook
from limner.types import Layout, Rng

TOKENIZER, GENERATOR = flexvar.RELEASES
TOKENIZERS, GENERATORS = goldens("flexvar_vae"), goldens("flexvar_ar")


def test_no_golden_is_missing() -> None:
    assert TOKENIZERS
    assert GENERATORS


def tokenizer(golden: Golden) -> FreeScaleTokenizer:
    config, given = golden.config, golden.config["vq"]
    sizes = LlamaGenTokenizerSizes(
        multipliers=tuple(given["encoder_ch_mult"]),
        size=config["img"],
        width=config["ch"],
        hidden=given["z_channels"],
        entries=given["codebook_size"],
        channels=given["codebook_embed_dim"],
    )
    model = flexvar.official_tokenizer(sizes, Layout(tuple((side, side) for side in config["vpn"])))
    TOKENIZER.fill(model, golden.under("state.vae."))
    return model


@pytest.mark.parametrize("golden", TOKENIZERS)
@torch.no_grad()
def test_every_grid_has_its_own_codes_and_its_own_image(golden: Golden) -> None:
    model = tokenizer(golden).eval()
    agree(model.features(golden["in.image"]), golden["out.h"])
    tokens = model.encode(golden["in.image"])
    for end, part, side in zip(
        model.layout.ends, tokens.split(model.layout.lengths, 1), golden.config["vpn"], strict=True
    ):
        assert torch.equal(part.flatten(), golden[f"out.scale{side}.idx"])
        agree(model.quantizer.latents(tokens[:, :end], side, side), golden[f"out.scale{side}.quant"])
        if f"out.scale{side}.rec" in golden.tensors:
            small = golden[f"out.scale{side}.rec"]
            agree(model.decoder.decoder(golden[f"out.scale{side}.quant"]), small)
            whole = (
                functional.interpolate(small, size=golden.config["img"], mode="bicubic")
                if end < len(tokens[0])
                else small
            )
            agree(model.decode(tokens[:, :end]), whole.clamp(-1, 1))
    agree(model.decode(tokens[:, : model.layout.ends[1]]), golden["out.ms_image"].clamp(-1, 1), 5e-4)  # pooled earlier


@pytest.mark.parametrize("golden", TOKENIZERS)
def test_penalties_and_gradients(golden: Golden) -> None:
    model, total = tokenizer(golden), torch.zeros(())
    features = model.features(golden["in.image"])
    for scale, side in enumerate(golden.config["vpn"]):
        bottleneck = model.quantizer.at(features, scale, Rng(0))
        agree(bottleneck.metrics["pull"], golden[f"out.train.scale{side}.vq"])
        agree(bottleneck.metrics["commitment"], golden[f"out.train.scale{side}.commit"])
        total = total + bottleneck.penalty
    rebuilt = model.decoder.decoder(bottleneck.latents)
    total = total + functional.mse_loss(
        rebuilt, functional.interpolate(golden["in.image"], size=rebuilt.shape[-2:], mode="area")
    )
    agree(total, golden["out.train.toy_loss"])
    total.backward()
    compare(golden, model, flexvar.TOKENIZER_NAMES)


def compare(golden: Golden, model: nn.Module, names: Any) -> None:
    """Gradients, as shares of the largest."""
    ours: dict[str, Any] = {official_name(name, names): one.grad for name, one in model.named_parameters()}
    if "class_emb.classes" in ours:
        ours["class_emb.weight"] = torch.cat([ours.pop("class_emb.classes"), ours.pop("class_emb.nothing")])
    gradients = golden.under("out.train.grad.")
    assert gradients
    for name, wanted in gradients.items():
        scale = wanted.abs().max()
        agree(ours[name] / scale, wanted / scale, 5e-4)


# Generators


def quantizer(golden: Golden, side: int) -> FreeScaleQuantizer:
    rows = golden["state.vae.quantize.embedding.weight"]
    book = LearnedCodebook(*rows.shape, normalize=True)
    book.codebook.data.copy_(rows)
    return FreeScaleQuantizer(book, all_sides(side))


def generator(golden: Golden, side: int, fixed: tuple[int, ...] | None = None) -> Generator:
    config = golden.config
    sizes = FlexVarSizes(
        width=config["width"],
        depth=config["depth"],
        heads=config["heads"],
        side=side,
        fixed=fixed,
        entries=config["vq"]["codebook_size"],
        channels=config["vq"]["codebook_embed_dim"],
        classes=config["num_classes"],
        drop=float(golden.card["tensors"]["in.train.drop_rand"]["meaning"].split("< ")[1].split()[0]),
    )
    made = flexvar.official_generator(sizes, quantizer(golden, side))
    GENERATOR.fill(made, golden.under("state.var."))
    return made


def of_sides(tokens: Tensor, sides: list[int]) -> Tensor:
    """The tokens of these grids among all."""
    parts = tokens.split(all_sides(max(sides)).lengths, 1)
    return torch.cat([parts[side - 1] for side in sides], 1)


@pytest.mark.parametrize("golden", GENERATORS)
@torch.no_grad()
def test_targets_and_positions(golden: Golden) -> None:
    sides = golden.config["train_pn"]
    assert torch.equal(of_sides(quantizer(golden, max(sides)).tokens(golden["in.h"]), sides), golden["out.train.gt"])
    model = generator(golden, max(sides))
    tables = [key for key in golden.tensors if key.startswith("out.pos")]
    assert tables
    for key in tables:
        agree(model.backbone.positions(int(key.removeprefix("out.pos"))), golden[key])


@pytest.mark.parametrize("golden", GENERATORS)
def test_loss_and_gradients(golden: Golden) -> None:
    sides = golden.config["train_pn"]
    model = generator(golden, max(sides), tuple(sides))
    tokens = quantizer(golden, max(sides)).tokens(golden["in.h"])
    steps = model.order.training_steps(len(tokens), model.layout, Rng(0))
    targets = (steps > 0)[0].nonzero()[:, 0].expand(len(tokens), -1)
    dropped = golden["in.train.drop_rand"] < model.drop
    with torch.no_grad():
        contexts = model.contexts(tokens, steps, model.condition(golden["in.labels"], dropped), targets)
        agree(model.head.logits(contexts), golden["out.train.logits"])
    loss = model.loss(tokens, golden["in.labels"], Replay(uniform=[golden["in.train.drop_rand"]]))
    agree(loss, golden["out.train.loss"])
    loss.backward()
    compare(golden, model, flexvar.GENERATOR_NAMES)
    largest = golden["out.train.grad_pos"].abs().max()
    channels = golden["out.train.grad_pos"].shape[1]
    agree(model.backbone.position.grad[:, :channels] / largest, golden["out.train.grad_pos"] / largest, 5e-4)


class Noted(nn.Module):
    """The head, made to draw what the authors drew, with the codes that they left out left out."""

    def __init__(self, golden: Golden, way: str, head: Any) -> None:
        super().__init__()
        self.golden, self.way, self.head = golden, way, head
        self.embed, self.blank, self.at = head.embed, head.blank, 0
        self.without = golden.config["samples"][way].get("invalid_ids", [])

    def sample(self, contexts: Tensor, guided: bool, options: SamplingOptions, rng: Rng) -> Tensor:
        """Logits and probabilities are those recorded."""
        step = f"{self.way}.step{self.at}"
        logits = self.head.logits(contexts)
        logits[..., self.without] = -100.0
        logits = guide(logits, options.guidance) if guided else logits
        agree(logits, self.golden[f"out.{step}.logits"])
        ids, shares = self.golden[f"in.{step}.idx"], probabilities(logits, options)
        agree(shares.flatten(0, 1), self.golden[f"out.{step}.probs"])
        landing(shares, ids)  # every one of them could be drawn
        self.at += 1
        return ids


@pytest.mark.parametrize("golden", GENERATORS)
@torch.no_grad()
def test_drawing(golden: Golden) -> None:
    for way, given in golden.config["samples"].items():
        sides = given["pns"]
        model = generator(golden, max(sides)).eval()
        model.head = noted = Noted(golden, way, model.head)
        constantly = given.get("used_llamagen_cfg", False)
        options = SamplingOptions(
            guidance=given["cfg"] + (not constantly), top_k=given["top_k"], top_p=given["top_p"] or 1.0
        )
        decoder = Decoder(
            model,
            options,
            guidance=constant if constantly else GrowingGuidance(given["max_pn"]),
            temperature=GreedyBeyond(given["max_pn"]),
        )
        rows = len(golden["in.labels"])
        tokens = decoder(
            golden["in.labels"],
            Rng([0] * rows),
            plan=model.order.steps_of(rows, model.layout, sides, torch.device("cpu")),
        )
        assert noted.at == len(sides)
        drawn = torch.cat([golden[f"in.{way}.step{step}.idx"] for step in range(len(sides))], 1)
        assert torch.equal(of_sides(tokens, sides), drawn)


# Releases


def test_a_release_is_recognised_and_its_sizes_are_read() -> None:
    for release, made in ((TOKENIZER, flexvar.official_tokenizer), (GENERATOR, flexvar.official_generator)):
        with torch.device("meta"):
            model: Any = made() if release is TOKENIZER else made(flexvar.FLEXVAR_D16)
        state = {official_name(name, release.names): value for name, value in model.named_parameters()}
        if release is GENERATOR:
            state["attn_bias_for_masking"] = torch.zeros(1, 1, 680, 680)
        assert recognise(state, Path("x.pt")) is release
        prepared = release.prepared(state) if release is TOKENIZER else state
        with torch.device("meta"):
            built = release.build(prepared)
        assert {k: v.shape for k, v in built.state_dict().items()} == {
            k: v.shape for k, v in model.state_dict().items()
        }
    assert replace(flexvar.generator_sizes(state), drop_path=0.1 * 16 / 24) == flexvar.FLEXVAR_D16
    assert all_sides(16).length == 1496

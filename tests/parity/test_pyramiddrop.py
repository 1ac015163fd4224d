"""PyramidDrop against the authors' code: ranks by the weights of every boundary's layer, and what is left behind it."""

from __future__ import annotations

import pytest
import torch
from tests.parity.goldens import Golden, agree, goldens
from torch import Tensor, nn

from limner.languages.language import visibility
from limner.languages.transformer import LanguageTransformer
from limner.nn.blocks import Attention, Block, Context, Stack
from limner.nn.norms import RmsNorm
from limner.recipes.techniques.pyramiddrop import Falling, by_question
from limner.unified.dropping import Dropping, DroppingLanguage, First

GOLDENS = goldens("pyramiddrop")


def language_of(golden: Golden) -> LanguageTransformer:
    """limner's language model with the authors' layers, of which ranking reads norm, queries and keys."""
    config, state = golden.config, golden.state()
    width = config["dim"]
    language = LanguageTransformer(
        2, width=width, depth=config["layers"], heads=config["heads"], length=config["max_len"]
    )

    def block(layer: int) -> Block:
        under = f"model.layers.{layer}."
        qkv = nn.Linear(width, 3 * width, bias=False)
        qkv.weight.data = torch.cat([state[f"{under}self_attn.{part}_proj.weight"] for part in "qkv"])
        made = Block(Attention(width, config["heads"], qkv=qkv), nn.Identity(), lambda: RmsNorm(width))
        made.norm1.weight.data = state[f"{under}input_layernorm.weight"]
        return made

    language.blocks = Stack(block(layer) for layer in range(config["layers"]))
    return language


def masks(golden: Golden, mode: str) -> tuple[Tensor, Tensor]:
    """Which tokens are a picture's, and which choose: those before answers, or the last of a row."""
    valid, labels, meta = golden["in.attention_mask"], golden["in.labels"], golden["in.meta"]
    place = torch.arange(valid.shape[1])
    start, count = meta[0][:, None], meta[1][:, None]
    seen = (start >= 0) & (place >= start) & (place < start + count)
    if mode == "eval":
        return seen, place == valid.sum(1, keepdim=True) - 1
    answered = labels != -100
    return seen, nn.functional.pad(answered[:, 1:] & ~answered[:, :-1], (0, 1))


@pytest.mark.parametrize("golden", GOLDENS)
@pytest.mark.parametrize("mode", ["train", "eval"])
@torch.no_grad()
def test_what_is_left_behind_every_boundary(golden: Golden, mode: str) -> None:
    config, valid = golden.config, golden["in.attention_mask"]
    language, (seen, asking) = language_of(golden), masks(golden, mode)
    places = torch.arange(valid.shape[1]) * valid
    rule = Dropping(Falling(tuple(config["layer_list"]), tuple(config["ratios"])), by_question)
    reading = First(DroppingLanguage(language, rule, seen, asking, valid, places), places)
    visible = visibility(torch.where(valid, 0, -1), torch.zeros_like(places))
    x, context = golden["in.hidden"], Context(visible[:, None], language.rotation(places))
    for layer in range(config["layers"]):
        x, context = reading(layer, x, context)
        if layer not in config["layer_list"]:
            continue
        stage = config["layer_list"].index(layer)
        there = golden[f"out.{mode}.mask{stage}"]
        wanted = golden[f"out.{mode}.hidden{stage}"]
        assert x.shape == wanted.shape
        agree(x[there], wanted[there], 1e-6)
        assert torch.equal(
            golden["in.labels"].gather(1, reading.tokens)[there], golden[f"out.{mode}.labels{stage}"][there]
        )
        agree(context.rotate.table[there], language.turns[golden[f"out.{mode}.pos{stage}"][there]], 1e-6)
        if f"in.delta{stage}" in golden.tensors:
            x = x + golden[f"in.delta{stage}"][:, : x.shape[1]]

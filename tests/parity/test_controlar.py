"""ControlAR against the authors' code: same weights, same control, same draws, same numbers."""

from __future__ import annotations

import re

import pytest
import torch
from tests.parity.drawing import Replaying
from tests.parity.goldens import Golden, Replay, agree, goldens
from torch import Tensor

from limner.decode.decoder import Decoder
from limner.decode.schedules import constant, early
from limner.generators.conditions import Controlled
from limner.generators.generator import Generator
from limner.generators.heads.head import SamplingOptions
from limner.store.official.controlar import NAMES, fill_generator, official_generator
from limner.store.official.llamagen import LlamaGenSizes
from limner.store.release import depth_of, official_name
from limner.store.released import recognise
from limner.types import Rng

CASES = goldens("controlar")


def filled(golden: Golden) -> Generator:
    """Sizes are those of the state; heads, which it does not tell, are the card's."""
    state, words = golden.state(), "cls_embedding.uncond_embedding"
    captioned = words in state
    sizes = LlamaGenSizes(
        width=state["norm.weight"].shape[0],
        depth=depth_of(state, "layers"),
        heads=golden.config["heads"],
        hidden=state["layers.0.feed_forward.w1.weight"].shape[0],
        side=round(golden["in.features"].shape[1] ** 0.5),
        entries=state["output.weight"].shape[0],
        classes=0 if captioned else len(state["cls_embedding.embedding_table.weight"]) - 1,
        words=len(state[words]) if captioned else 0,
        features=state[words].shape[1] if captioned else 0,
        drop=threshold(golden),
        dropout=0.0,
    )
    generator = official_generator(sizes, golden["in.features"].shape[2]).eval()
    fill_generator(generator, state)
    return generator


def threshold(golden: Golden) -> float:
    """The share that is dropped, which the card tells in words: "dropped where < 0.3"."""
    found = re.search(r"< *([\d.]+)", golden.card["tensors"]["in.train.drop_rand"]["meaning"])
    assert found, "the card does not tell the share that is dropped"
    return float(found[1])


def given(golden: Golden) -> Controlled:
    """Captions with nothing where they pad, or classes; and the control."""
    what = golden["in.cond"]
    if "in.emb_masks" in golden.tensors:
        what = what * golden["in.emb_masks"][..., None]
    return Controlled(what, golden["in.features"])


def logits(golden: Golden, generator: Generator, tokens: Tensor, dropped: Tensor) -> Tensor:
    steps = generator.order.training_steps(len(tokens), generator.layout, Rng(0))
    wanted = torch.arange(tokens.shape[1]).expand_as(tokens)
    condition = generator.condition(given(golden), dropped)
    return generator.head.logits(generator.contexts(tokens, steps, condition, wanted))


@pytest.mark.parametrize("golden", CASES)
def test_a_published_file_is_told_from_a_llamagen(golden: Golden) -> None:
    assert recognise(golden.state(), golden.path).system == "controlar"
    rest = {key: value for key, value in golden.state().items() if not key.startswith(("condition_", "adapter"))}
    assert recognise(rest, golden.path).system == "llamagen"


@pytest.mark.parametrize("golden", CASES)
@torch.no_grad()
def test_control_and_logits(golden: Golden) -> None:
    generator, dropped = filled(golden), golden["in.train.drop_rand"] < threshold(golden)
    assert 0 < int(dropped.sum()) < len(dropped)
    agree(generator.condition(given(golden), dropped).per_token, golden["out.train.condition_token"])
    agree(logits(golden, generator, golden["in.idx"], dropped), golden["out.train.logits"])


@pytest.mark.parametrize("golden", CASES)
def test_loss_and_gradients(golden: Golden) -> None:
    generator = filled(golden).train()
    replay = Replay(uniform=[golden["in.train.drop_rand"]])
    loss = generator.loss(golden["in.idx"], given(golden), replay)
    replay.finish()
    agree(loss, golden["out.train.loss"])
    loss.backward()
    ours = {official_name(name, NAMES): parameter.grad for name, parameter in generator.named_parameters()}
    recorded = golden.under("out.train.grad.")
    assert recorded
    for name, wanted in recorded.items():
        scale = wanted.abs().max().clamp_min(1e-12)
        agree(ours[name] / scale, wanted / scale)


@pytest.mark.parametrize("golden", CASES)
@pytest.mark.parametrize("cached", [True, False])
@torch.no_grad()
def test_drawing(golden: Golden, cached: bool) -> None:
    generator, ids, config = filled(golden), golden["in.sample.ids"], golden.config
    generator.backbone.strength = config["strength"]
    generator.head = head = Replaying(generator.head, ids)
    options = SamplingOptions(
        guidance=config["cfg"], temperature=config["temperature"], top_k=config["top_k"], top_p=config["top_p"]
    )
    interval = config["cfg_interval"]
    schedule = constant if interval < 0 else early(interval + 1)
    tokens = Decoder(generator, options, guidance=schedule, cached=cached)(given(golden), Rng(0))
    assert torch.equal(tokens, golden["out.sample.seq"].long())
    head.compare(golden["out.sample.logits"], golden["out.sample.probs"])

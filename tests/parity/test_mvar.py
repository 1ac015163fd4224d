"""M-VAR against the authors' code, its recurrence a sequential scan: same weights, same draws, same numbers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from tests.parity.goldens import Golden, Replay, agree, goldens
from tests.parity.test_var import Witness, drawing, guided
from torch import Tensor, nn

from limner.decode.decoder import Decoder
from limner.decode.schedules import with_steps
from limner.generators.generator import Generator
from limner.generators.heads.categorical import cut
from limner.generators.heads.head import SamplingOptions
from limner.store.official import mvar, var
from limner.store.release import fill, official_name
from limner.store.released import recognise
from limner.tokenizers.quantizers.multiscale import MultiScaleQuantizer
from limner.types import Rng

CASES = pytest.mark.parametrize("golden", goldens("mvar", having="out.train.logits"))


def quantizer_of(golden: Golden) -> MultiScaleQuantizer:
    state = var.prepared_tokenizer(golden.under("state.vae."))
    entries, channels = state["quantize.embedding.weight"].shape
    phis = len({key for key in state if key.startswith("quantize.quant_resi") and key.endswith("weight")})
    quantizer = MultiScaleQuantizer(entries, channels, var.pyramid(golden.config["patch_nums"]), phis=phis)
    fill(nn.ModuleDict({"quantizer": quantizer}), state, var.TOKENIZER_NAMES, skip=var.TOKENIZER_SKIP)
    return quantizer.eval()


def drop(golden: Golden) -> float:
    """Share of withheld classes, which only the card's words tell."""
    found = re.search(r"< ?([\d.]+)", golden.card["tensors"]["in.train.drop_rand"]["meaning"])
    assert found
    return float(found[1])


def filled(golden: Golden) -> Generator:
    state = var.prepared_generator(golden.under("state.mvar."))
    generator = mvar.official_generator(state, heads=golden.config["heads"], drop=drop(golden))
    report = fill(generator, state, mvar.NAMES, skip=mvar.SKIP)
    assert len(report.loaded) == len(generator.state_dict())
    generator.embed.attach(quantizer_of(golden))
    return generator.eval()


@CASES
@torch.no_grad()
def test_logits(golden: Golden) -> None:
    generator, tokens = filled(golden), golden["out.train.gt"]
    steps = generator.order.training_steps(len(tokens), generator.layout, Rng(0))
    condition = generator.condition(golden["in.labels"], golden["in.train.drop_rand"] < drop(golden))
    contexts = generator.contexts(tokens, steps, condition, torch.arange(generator.count).expand_as(tokens))
    agree(generator.head.logits(contexts), golden["out.train.logits"])


@CASES
@torch.no_grad()
def test_attention_and_recurrence(golden: Golden) -> None:
    block = filled(golden).backbone.blocks[0]
    agree(block.mamba(golden["out.train.mamba0_in"]), golden["out.train.mamba0_out"])


@CASES
def test_loss_and_gradients(golden: Golden) -> None:
    generator = filled(golden).train()
    loss = generator.loss(golden["out.train.gt"], golden["in.labels"], Replay(uniform=[golden["in.train.drop_rand"]]))
    agree(loss, golden["out.train.loss"])
    loss.backward()
    ours = {official_name(name, mvar.NAMES): parameter.grad for name, parameter in generator.named_parameters()}
    recorded = golden.under("out.train.grad.")
    assert recorded
    for name, wanted in recorded.items():
        scale = wanted.abs().max().clamp_min(1e-12)
        agree(ours[name] / scale, wanted / scale)


@pytest.mark.parametrize("cached", [True, False])
@CASES
@torch.no_grad()
def test_drawing(golden: Golden, cached: bool) -> None:
    generator, quantizer, steps = filled(golden), quantizer_of(golden), len(golden.config["patch_nums"])
    config, labels = golden.config, golden["in.labels"]
    options = SamplingOptions(guidance=1 + config["cfg"], top_k=config["top_k"], top_p=config["top_p"])
    generator.head = witness = Witness(generator.head)
    uniform: list[Tensor] = []
    for scale in range(steps):
        tokens = golden[f"in.sample.step{scale}.idx"]
        probabilities = golden[f"out.sample.step{scale}.probs"].unflatten(0, tokens.shape)
        uniform.append(drawing(probabilities, tokens))
    replay = Replay(uniform=uniform)
    drawn = Decoder(generator, options, guidance=with_steps, cached=cached)(labels, replay)
    replay.finish()
    for scale, raw in enumerate(witness.raw):
        official = golden.under(f"out.sample.step{scale}.")
        logits = guided(raw, config["cfg"], scale, steps) if len(raw) == 2 * len(labels) else raw
        agree(logits, official["logits"])
        agree(cut(logits, options).softmax(-1).flatten(0, 1), official["probs"])
    assert torch.equal(drawn, torch.cat([golden[f"in.sample.step{scale}.idx"] for scale in range(steps)], 1))
    agree(list(quantizer.sums(drawn))[-1], golden["out.sample.fhat"])


@CASES
def test_the_release_is_recognised(golden: Golden) -> None:
    state = golden.under("state.mvar.")
    assert recognise(state, Path("mvar")).system == "m-var"
    model = mvar.RELEASES[0].build(var.prepared_generator(state))
    assert model.count == sum(side * side for side in golden.config["patch_nums"])

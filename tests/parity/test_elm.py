"""ELM against the authors' code: bits that are drawn, and a generator of a token's sub-codes at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.parity.drawing import landing
from tests.parity.goldens import Golden, Replay, agree, goldens
from torch import Tensor, nn
from torch.nn import functional

from limner.decode.decoder import Decoder
from limner.generators.generator import Generator
from limner.generators.heads.categorical import cut, probabilities
from limner.generators.heads.head import SamplingOptions, guide
from limner.store.official import elm
from limner.store.official.elm import NAMES, RELEASES, ElmSizes, Rising, official_generator
from limner.store.release import depth_of, official_name
from limner.store.released import recognise
from limner.tokenizers.quantizers.bernoulli import BernoulliQuantizer
from limner.tokenizers.quantizers.digits import compose, decompose
from limner.types import Rng

CASES = goldens("elm")


def test_no_golden_is_missing() -> None:
    assert CASES


def sizes(golden: Golden) -> ElmSizes:
    config = golden.config
    return ElmSizes(
        width=config["dim"],
        depth=config["n_layer"],
        heads=config["n_head"],
        codes=config["token_each"],
        bits=config["code_dim"],
        hidden=len(golden["state.ar.layers.0.feed_forward.w1.weight"]),
        adaptive=config["adaLN"],
        side=config["grid"],
        classes=config["num_classes"],
        drop=config["cdrop"],
        dropout=0.0,
    )


def generator(golden: Golden) -> Generator:
    model = official_generator(sizes(golden))
    RELEASES[0].fill(model, golden.under("state.ar."))
    return model


def quantizer(golden: Golden) -> BernoulliQuantizer:
    rows = golden["state.bq.embed.weight"]
    made = BernoulliQuantizer(*rows.shape, signed=golden.config["use_tanh"], weight=1.0)
    made.rows.data.copy_(rows)
    return made


@pytest.mark.parametrize("golden", CASES)
def test_bits(golden: Golden) -> None:
    made, bits = quantizer(golden), golden["in.bq.bits"]
    weight, bias = (golden[f"state.bq.proj.0.{name}"].clone().requires_grad_() for name in ("weight", "bias"))
    features = functional.conv2d(golden["in.bq.h"], weight, bias)
    bottleneck = made(features, Replay(uniform=[torch.where(bits > 0, 0.0, 1.0)]))
    agree(bottleneck.latents, golden["out.bq.zq"])
    agree(bottleneck.penalty, golden["out.bq.aux"])
    ids = made.tokens(features)
    agree(made.latents(ids, *bits.shape[-2:]), golden["out.bq.zq_det"])
    drawn = decompose(made.tokens(torch.where(bits > 0, 1.0, -1.0)), (2,) * bits.shape[1])
    assert torch.equal(drawn, (bits > 0).long().flatten(2).mT)


@pytest.mark.parametrize("golden", CASES)
def test_loss_and_gradients(golden: Golden) -> None:
    model = generator(golden).train()
    digits, drop = golden["in.train.ids"], golden["in.train.drop_rand"]
    tokens = compose(digits, model.head.radices)
    steps = model.order.training_steps(len(tokens), model.layout, Rng(0))
    everything = torch.arange(tokens.shape[1]).expand_as(tokens)
    contexts = model.contexts(tokens, steps, model.condition(golden["in.train.labels"], drop < model.drop), everything)
    logits = torch.stack(model.head.logits(contexts, digits[..., :-1]), 2).flatten(1, 2)
    agree(logits, golden["out.train.logits"])
    loss = model.loss(tokens, golden["in.train.labels"], Replay(uniform=[drop]))
    agree(loss, golden["out.train.loss"])
    loss.backward()
    ours: dict[str, Any] = {official_name(name, NAMES): one.grad for name, one in model.named_parameters()}
    ours["cls_embedding.embedding_table.weight"] = torch.cat(
        [ours.pop("cls_embedding.classes"), ours.pop("cls_embedding.nothing")]
    )
    gradients = golden.under("out.train.grad.ar.")
    assert gradients
    for name, wanted in gradients.items():
        scale = wanted.abs().max()
        agree(ours[name] / scale, wanted / scale)


class Noted(nn.Module):
    """The head, made to draw what the authors drew."""

    def __init__(self, golden: Golden, head: Any) -> None:
        super().__init__()
        self.golden, self.head, self.at = golden, head, 0
        self.embed, self.blank = head.embed, head.blank
        self.cut = torch.zeros(0)

    def sample(self, contexts: Tensor, guided: bool, options: SamplingOptions, rng: Rng) -> Tensor:
        """Probabilities are those recorded."""
        wanted = self.golden["in.sample.ids"][:, self.at : self.at + 1]
        logits = torch.stack(self.head.logits(contexts, torch.cat([wanted, wanted])[..., :-1]), 2)
        logits = guide(logits, options.guidance) if guided else logits[: len(wanted)]
        shares = probabilities(logits, options)
        agree(shares[:, 0], self.golden["out.sample.probs"][:, self.at])
        uniform = [landing(shares[:, :, index], wanted[..., index]) for index in range(wanted.shape[-1])]
        drawn = self.head.sample(contexts, guided, options, Replay(uniform=uniform))
        assert torch.equal(drawn, compose(wanted, self.head.radices))
        self.at, self.cut = self.at + 1, cut(logits / options.temperature, options)[:, 0]
        return drawn


@pytest.mark.parametrize("golden", CASES)
@torch.no_grad()
def test_drawing(golden: Golden) -> None:
    model, config = generator(golden).eval(), golden.config
    model.head = noted = Noted(golden, model.head)
    options = SamplingOptions(guidance=config["cfg"], temperature=config["temperature"], top_k=config["top_k"] or 0)
    labels = golden["in.sample.labels"]
    Decoder(model, options, guidance=Rising(config["cfg_schedule"]))(labels, Rng([0] * len(labels)))
    assert noted.at == model.count
    kept = golden["out.sample.last_logits"].isfinite()
    assert torch.equal(kept, noted.cut.isfinite())
    agree(noted.cut[kept], golden["out.sample.last_logits"][kept])


@pytest.mark.parametrize("adaptive", [False, True])
def test_a_release_is_recognised_and_its_sizes_are_read(adaptive: bool) -> None:
    wanted = ElmSizes(width=768, depth=2, heads=12, codes=3, bits=4, hidden=512, adaptive=adaptive)
    with torch.device("meta"):
        model = official_generator(wanted)
    state = {official_name(name, NAMES): value for name, value in model.named_parameters()}
    assert recognise(state, Path("elm.pt")) is RELEASES[0]
    assert elm.sizes_of(state) == wanted
    assert depth_of(state, "output") == 3

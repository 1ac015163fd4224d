"""Continuous speculative decoding against the authors' code: what stays of Gaussians, and a whole drawing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.parity.goldens import Golden, Replay, agree, goldens
from torch import Tensor
from torch.nn import functional

from limner.decode.continuous import ContinuousSpeculative, ratio, redrawn, residual_share
from limner.decode.decoder import Decoder
from limner.decode.schedules import constant, with_known
from limner.decode.step import positions
from limner.generators.generator import Generator
from limner.generators.heads.diffusion import Traced
from limner.generators.heads.head import SamplingOptions
from limner.generators.orders import cosine_unmasking, steps_of_ranks
from limner.nn.transformer import Mlp, take
from limner.store.official.mar import RELEASES, MarSizes, official_generator
from limner.types import Rng

CASES = goldens("cspd")


class Recorded(Rng):
    """Draws of a whole drawing; proposals of an image are those of its own row, try by try."""

    def __init__(self, drawing: Replay, proposals: list[tuple[Tensor, Tensor]]) -> None:
        super().__init__(0)
        self.drawing, self.proposals, self.number = drawing, proposals, -1

    def normal(self, *shape: int) -> Tensor:
        return self.drawing.normal(*shape)

    def uniform(self, *shape: int) -> Tensor:
        return self.drawing.uniform(*shape)

    def row(self, index: int) -> Rng:
        self.number += index == 0
        noise, uniform = self.proposals[self.number]
        return Replay(normal=list(noise[:, index]), uniform=list(uniform[:, index]))


def traced(golden: Golden, prefix: str, part: str, x: Tensor) -> Traced:
    """A row of Gaussians as one image."""
    named = (golden[f"{prefix}.{part}_{name}"] for name in ("mean", "std", "logstd_sum"))
    return Traced(x[None], *(value[None] for value in named))


@pytest.mark.parametrize("golden", CASES)
def test_gaussians_are_compared_as_the_authors_do(golden: Golden) -> None:
    x = golden["in.unit.x"]
    q, p = (traced(golden, "in.unit", part, x) for part in ("q", "p"))
    found = ratio(p, q, x[None], golden.config["unit_temperature"])
    agree(found[0], golden["out.unit.ratio"], 1e-5)
    agree(residual_share(p, q, x[None])[0], golden["out.unit.residual_accept"], 1e-5)
    accepted = found[0] > golden["in.unit.u"]
    noise, uniform = golden["in.unit.try_noise"], golden["in.unit.try_u"]
    proposals = p.mean[0] + noise * p.deviation[0]
    stays = torch.stack([u < residual_share(p, q, one[None])[0] for one, u in zip(proposals, uniform, strict=True)])
    official = torch.zeros_like(x)
    for one, kept in zip(proposals, stays, strict=True):
        official = torch.where(kept[:, None], one, official)  # the last that stays
    agree(torch.where(accepted[:, None], x, official), golden["out.unit.result"], 1e-5)
    ours = redrawn(p, q, accepted[None], Recorded(Replay(), [(noise[:, None], uniform[:, None])]))[0]
    once = ~accepted & (stays.sum(0) == 1)
    assert once.any()
    agree(ours[once], golden["out.unit.result"][once], 1e-5)


def filled(golden: Golden, part: str) -> Generator:
    config, own, state = golden.config, golden.config[part], golden.under(f"state.{part}.")
    sizes = MarSizes(
        width=own["dim"],
        encoder_depth=own["enc"],
        decoder_depth=own["dec"],
        heads=own["heads"],
        decoder_width=own["dim"],
        decoder_heads=own["heads"],
        head_width=own["dl_w"],
        head_depth=own["dl_d"],
        count=(config["img"] // config["stride"] // config["patch"]) ** 2,
        channels=config["C"] * config["patch"] ** 2,
        classes=len(state["class_emb.weight"]),
        prefix=config["buffer"],
        steps=config["diff_steps"],
        draws=1,
        drop=0.1,
        dropout=0.0,
        least_masked=0.7,
    )
    generator = official_generator(sizes).eval()
    for blocks in (generator.backbone.encoder_blocks, generator.backbone.decoder_blocks):  # narrower than published
        for block in blocks:
            block.mlp = Mlp(own["dim"], len(state["encoder_blocks.0.mlp.fc1.weight"]), functional.gelu)
    RELEASES[0].fill(generator, state)
    return generator


def verifications(golden: Golden) -> list[dict[str, Tensor]]:
    count = len({key.split(".")[2] for key in golden.tensors if key.startswith("out.run.verify")})
    kinds = ("in", "out")
    return [
        {name: value for kind in kinds for name, value in golden.under(f"{kind}.run.verify{number}.").items()}
        for number in range(count)
    ]


@pytest.mark.parametrize("golden", CASES)
@torch.no_grad()
def test_drawing(golden: Golden) -> None:
    config, checks = golden.config, verifications(golden)
    labels, orders = golden["in.run.labels"], golden["in.run.orders"]
    plan = steps_of_ranks(orders.argsort(1), cosine_unmasking(orders.shape[1], config["num_iter"]))
    batch, count = plan.shape
    start, draws = (golden[f"in.run.{name}"][:batch] for name in ("noise", "inter_noise"))
    proposals = [
        (one["try_noise"].unflatten(1, (batch, 1, -1)), one["try_u"].unflatten(1, (batch, 1, -1))) for one in checks
    ]
    drawing = Replay(normal=[start, draws.flip(2)], uniform=[one["u"] for one in checks])
    step = ContinuousSpeculative(
        filled(golden, "draft"), config["ratio"], config["num_draft"], config["inner_temperature"]
    )
    schedule = {"linear": with_known, "constant": constant}[config["schedule"]]
    options = SamplingOptions(guidance=config["cfg"], temperature=config["temperature"])
    decoder = Decoder(filled(golden, "target"), options, config["num_iter"], schedule, step=step)
    seen: list[Any] = []
    rng = Recorded(drawing, proposals)
    tokens = decoder(labels, rng, plan=plan, watch=lambda done, total, tokens, steps: seen.append(tokens.clone()))
    drawing.finish()
    checked, verified = 0, 0
    for number, kind in enumerate(golden.card["extra"]["steps"]):
        wanted = golden[f"out.run.step{number}.{kind}"]
        fresh = positions(plan == number + 1)
        verifying = kind == "draft" and (number % config["num_draft"] == 0 or number == config["num_iter"] - 1)
        if not verifying:
            agree(take(seen[number], fresh), take(wanted, fresh), 1e-3)
            verified = number + 1 if kind == "target" else verified
            continue
        pending = positions((plan > verified) & (plan <= number + 1))
        agree(take(seen[number], pending).flatten(0, 1), checks[checked]["result"], 1e-3)
        verified, checked = number + 1, checked + 1
    assert checked == len(checks)
    side = int(count**0.5)
    if config["patch"] == 1:
        agree(tokens.mT.unflatten(2, (side, side)), golden["out.run.tokens"], 1e-3)

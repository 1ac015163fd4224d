"""EViT against the authors' code: states and kept patches of every block, logits, gradients, the falling share."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from tests.parity.goldens import Golden, agree, goldens
from torch import Tensor, nn
from torch.nn import functional

from limner.encoders.fusing import Fusing
from limner.encoders.patch_embedding import PatchEmbedding
from limner.encoders.vit import VisionTransformer
from limner.nn.blocks import hooked
from limner.recipes.techniques.evit import keep_rate

GOLDENS = goldens("evit")


def deit(golden: Golden) -> tuple[VisionTransformer, nn.Linear]:
    """The authors' DeiT with its head, in limner's names."""
    config, state = golden.config, golden.state()
    model = VisionTransformer(
        size=config["img"],
        patch=config["patch"],
        width=config["dim"],
        depth=config["depth"],
        heads=config["heads"],
        class_token=True,
        pool="class",
        norm_first=False,
        eps=1e-6,
        stem=PatchEmbedding(config["patch"], config["dim"]),
    )
    renamed = {
        "class_token": state.pop("cls_token")[0, 0],
        "position": state.pop("pos_embed")[0],
        "embed.weight": state.pop("patch_embed.proj.weight"),
        "embed.bias": state.pop("patch_embed.proj.bias"),
    }
    head = nn.Linear(config["dim"], config["classes"])
    head.load_state_dict({part: state.pop(f"head.{part}") for part in ("weight", "bias")})
    model.load_state_dict(renamed | state)
    return model, head


def fusing(model: VisionTransformer, config: dict[str, Any]) -> Fusing:
    share = config["keep"] if config["call_rate"] is None else config["call_rate"]
    return Fusing(model.blocks, model.before, dict.fromkeys(config["drop_loc"], share), config["fuse"])


@pytest.mark.parametrize("golden", GOLDENS)
def test_states_and_logits(golden: Golden) -> None:
    """The authors keep patches in order of attention, limner in raster order: compared by their indices."""
    config, (model, head) = golden.config, deit(golden)
    hook = fusing(model, config)
    x, _ = model.enter(golden["in.image"])
    place: Tensor | None = None  # of the authors' tokens among limner's
    with torch.no_grad(), hooked(model.blocks, hook):
        for layer, found in enumerate(model.blocks.states(x)):
            if layer in config["drop_loc"]:
                place = reordered(golden, hook, config["drop_loc"].index(layer), place, found.shape[1])
            wanted = golden[f"out.block{layer}"]
            agree(found if place is None else found.take_along_dim(place[..., None], 1), wanted, 1e-4)
    with hooked(model.blocks, fusing(model, config)):
        logits = head(model(golden["in.image"]).pooled)
    agree(logits, golden["out.logits"], 1e-4)
    loss = functional.cross_entropy(logits, golden["in.labels"])
    agree(loss, golden["out.train.loss"], 1e-5)
    loss.backward()
    parts = dict(model.named_parameters()) | {
        "pos_embed": model.position,
        "patch_embed.proj.weight": model.embed.weight,
    }
    for name, wanted in golden.under("out.train.grad.").items():
        agree(parts[name].grad.view_as(wanted), wanted, 1e-4)


def reordered(golden: Golden, hook: Fusing, number: int, before: Tensor | None, count: int) -> Tensor:
    """Where the authors' tokens lie among limner's, which keeps the same patches."""
    wanted = golden[f"out.index{number}"]  # among the authors' patches of the layer before
    patches = torch.arange(int(wanted.max()) + 1).expand(len(wanted), -1) if before is None else before[:, 1:] - 1
    ours = patches.gather(1, wanted)  # the same patches by limner's indices
    assert torch.equal(ours.sort(1).values, hook.chosen[number])
    rank = (hook.chosen[number][:, None, :] == ours[:, :, None]).long().argmax(-1) + 1
    front = torch.zeros(len(wanted), 1, dtype=torch.long)
    last = [front + count - 1] if golden.config["fuse"] else []
    return torch.cat([front, rank, *last], 1)


@pytest.mark.parametrize("golden", GOLDENS)
def test_the_share_falls(golden: Golden) -> None:
    config, wanted = golden.config, golden["out.keep_rate_schedule"]
    start, end = (float(config[epoch] * config["ipe"]) for epoch in ("w", "t"))
    found = [keep_rate(float(step), start, end, config["keep"]) for step in range(len(wanted))]
    agree(torch.tensor(found), wanted, 1e-6)
    assert math.isclose(found[-1], config["keep"])

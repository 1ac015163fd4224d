"""S2 against the authors' code, around the toy encoder of the fixture."""

from __future__ import annotations

import pytest
import torch
from tests.parity.goldens import Golden, agree, goldens
from torch import nn
from torch.nn import functional

from limner.encoders.scales import SeveralScales
from limner.types import Image, Patches


class Toy(nn.Module):
    """A class token and patches, each of which knows the mean of its tile."""

    def __init__(self, golden: Golden) -> None:
        super().__init__()
        config, state = golden.config, golden.under("state.encoder.")
        self.size, self.width, self.patch = config["size"], config["dim"], config["patch"]
        self.cls, self.kernel, self.bias = state["cls"], state["proj.weight"], state["proj.bias"]
        self.mix, self.shift = state["mix.weight"], state["mix.bias"]

    def forward(self, image: Image) -> Patches:
        grid = functional.conv2d(image, self.kernel, self.bias, stride=self.patch)
        tokens = torch.cat([self.cls.expand(len(image), -1, -1), grid.flatten(2).mT], 1)
        out = tokens + functional.linear(tokens.mean(1, keepdim=True) + tokens, self.mix, self.shift).tanh()
        return Patches.on_grid(out[:, 1:], *grid.shape[2:], pooled=out[:, 0])


@pytest.mark.parametrize("golden", goldens("s2"))
def test_features_of_several_scales(golden: Golden) -> None:
    for number, call in enumerate(golden.config["calls"]):
        model = SeveralScales(Toy(golden), call["scales"], read=call.get("resize_output_to_idx", 0))
        found, wanted = model(golden["in.image"]), golden[f"out.features{number}"]
        prefix = golden.config["prefix"]
        agree(found.vectors, wanted[:, prefix:], 1e-5)
        agree(found.pooled, wanted[:, :prefix].mean(1), 1e-5)

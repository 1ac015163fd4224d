"""VTC-CLS against the authors' code (THU-MIG/VTC-CLS): scores of patches, which are kept, and what is kept of them."""

from __future__ import annotations

import pytest
import torch
from tests.parity.goldens import Golden, agree, goldens

from limner.connectors.pruning import Heaviest
from limner.encoders.class_attention import class_weight
from limner.types import Patches

GOLDENS = goldens("vtc-cls")


@pytest.mark.parametrize("golden", GOLDENS)
def test_scores_and_what_is_kept(golden: Golden) -> None:
    config = golden.config
    received = golden["in.attentions"][:, :, :, 0, 1:].mean(2).transpose(0, 1)  # of the class token, by layer
    states = golden["in.hidden_states"][config["select_layer"]][:, 1:]
    for start in config["start_layers"]:
        weight = class_weight(received, start)
        agree(weight[0], golden[f"out.score_start{start}"], 1e-6)
        patches = Patches.on_grid(states, *config["grid"])._replace(weight=weight)
        for keep in config["keep"]:
            kept, name = Heaviest(keep)(patches, None), f"start{start}_k{keep}"
            assert torch.equal(kept.vectors, golden[f"out.tokens_{name}"])
            index = kept.positions @ torch.tensor([config["grid"][1], 1])
            assert torch.equal(index[0], golden[f"out.index_{name}"])

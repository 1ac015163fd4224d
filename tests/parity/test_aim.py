"""AIM against the authors' code (LaVi-Lab/AIM): rounds of merging, importance by layer, and what later layers read."""

from __future__ import annotations

import pytest
import torch
from tests.parity.goldens import Golden, agree, goldens

from limner.connectors.merging import merged
from limner.recipes.techniques.aim import Sloping, importance
from limner.types import Patches

GOLDENS = goldens("aim-merge-prune")


@pytest.mark.parametrize("golden", GOLDENS)
def test_rounds_of_merging(golden: Golden) -> None:
    visual = golden["in.visual"]
    count = visual.shape[1]
    patches = Patches.on_grid(visual, 1, count)
    for divisor in golden.config["merge_div"]:
        patches = merged(patches, count // divisor)
        agree(patches.vectors, golden[f"out.merged_div{divisor}"], 1e-6)


@pytest.mark.parametrize("golden", GOLDENS)
def test_importance_and_what_is_left(golden: Golden) -> None:
    """The authors hide what is dropped, so that its rows stay and its columns do not; here they are given as theirs."""
    config = golden.config
    first, last, length = config["boundaries"]
    share = Sloping(config["l1"], config["slope"])
    causal, alive = torch.ones(length, length, dtype=torch.bool).tril(), torch.ones(length, dtype=torch.bool)
    for layer, logits in enumerate(golden["in.logits"]):
        weights = logits.masked_fill(~(causal & alive), float("-inf")).softmax(-1)
        found = importance(weights, config["tau"], config["iters"])
        agree(found[:, alive], golden[f"out.l{layer}.importance"][:, alive], 1e-5)
        assert abs(share(layer + 1) - float(golden["out.retain_rate"][layer])) < 1e-6
        score = found[0].masked_fill(~alive, -1.0)[first:last]
        alive = torch.ones_like(alive)
        alive[first:last] = False
        alive[first + score.topk(int((last - first) * share(layer + 1))).indices] = True
        assert torch.equal(alive[None], golden[f"out.l{layer}.mask"])

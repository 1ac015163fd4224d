"""M3, MQT and TokenPacker against the authors' code: tokens of every number, losses, gradients."""

from __future__ import annotations

import pytest
import torch
from tests.parity.goldens import Golden, agree, goldens
from torch import Tensor
from torch.nn import functional

from limner.connectors.matryoshka import MatryoshkaQueries
from limner.connectors.packer import TokenPacker
from limner.connectors.pooling import pooled
from limner.nn.positions import interpolated
from limner.types import Patches


def words(width: int) -> Tensor:
    """A table that connectors of these systems do not read."""
    return torch.zeros(1, width)


@pytest.mark.parametrize("golden", goldens("m3"))
def test_sets_of_m3_and_the_mean_of_their_losses(golden: Golden) -> None:
    losses = []
    for count in golden.config["scales"]:
        found = pooled(golden["in.features"], count)
        agree(found, golden[f"out.tokens_{count}"], 1e-6)
        logits = found.tanh().mean(1) @ golden["in.head"].T
        losses.append(functional.cross_entropy(logits, golden["in.labels"]))
    agree(torch.stack(losses), golden["out.train.loss_per_scale"], 1e-5)
    agree(torch.stack(losses).mean(), golden["out.train.loss"], 1e-5)


def split(state: dict[str, Tensor], under: str) -> dict[str, Tensor]:
    """Queries, keys and values of a module that joins them."""
    return {
        f"to_{part}.{kind}": value
        for kind in ("weight", "bias")
        for part, value in zip("qkv", state.pop(f"{under}.in_proj_{kind}").chunk(3), strict=True)
    }


@pytest.mark.parametrize("golden", goldens("mqt"))
def test_queries_of_mqt(golden: Golden) -> None:
    config = golden.config
    state = {name.removeprefix("query_abstractor."): value for name, value in golden.state().items()}
    position = state.pop("pos_embed")
    model = MatryoshkaQueries(
        config["kv_dim"],
        config["embed_dim"],
        queries=config["grid_size"] ** 2,
        heads=config["num_heads"],
        grid=max(config["tgt_size"]),
    )
    agree(model.position, position, 1e-3)
    model.position = position
    renamed = {"query": state.pop("query"), "proj.weight": state.pop("proj").T} | split(state, "attn")
    for name, value in state.items():
        renamed[name.replace("attn.out_proj", "out").replace("ln_", "norm_")] = value
    model.load_state_dict(renamed)
    rows, columns = config["tgt_size"]
    agree(interpolated(position, rows, columns), golden["out.key_pos"], 1e-5)
    model.grid = min(config["tgt_size"])
    patches = Patches.on_grid(golden["in.features"], rows, columns)
    for count in config["m"]:
        found = model.with_count(count)(patches, words(config["embed_dim"]))
        agree(found, golden[f"out.tokens_m{count}"], 1e-5)
    loss = (found * golden["in.probe"]).mean()
    agree(loss, golden["out.train.loss"], 1e-6)
    loss.backward()
    joined = torch.cat([part.weight.grad for part in (model.to_q, model.to_k, model.to_v)])
    grads = {
        "query": model.query.grad,
        "proj": model.proj.weight.grad.T,
        "attn.in_proj_weight": joined,
        "ln_q.weight": model.norm_q.weight.grad,
    }
    for name, wanted in golden.under("out.train.grad.query_abstractor.").items():
        agree(grads[name], wanted, 1e-5)


@pytest.mark.parametrize("golden", goldens("tokenpacker"))
def test_cells_of_tokenpacker(golden: Golden) -> None:
    config = golden.config
    state = {name.removeprefix("mm_projector."): value for name, value in golden.state().items()}
    fine, coarse = golden["in.features_multi"], golden["in.features"]
    model = TokenPacker(
        fine.shape[2],
        config["kv_dim"],
        config["hidden_size"],
        inner=config["embed_dim"],
        heads=config["num_heads"],
        scale=config["scale_factor"],
    )
    names = {"q_proj_1": "query", "k_proj_1": "key", "v_proj_1": "value", "clip_attn.out_proj": "proj"}
    names |= {f"ln_{part}_1": f"norm_{part}" for part in "qkv"}

    def ours(name: str) -> str:
        return next((new + name.removeprefix(old) for old, new in names.items() if name.startswith(old)), name)

    renamed = split(state, "clip_attn") | {ours(name): value for name, value in state.items()}
    model.load_state_dict(renamed)
    grid = config["raw_grid"]
    found = model(Patches.on_grid(torch.cat([fine, coarse], -1), grid, grid), words(config["hidden_size"]))
    agree(found, golden["out.tokens"], 1e-5)
    loss = (found * golden["in.probe"]).mean()
    agree(loss, golden["out.train.loss"], 1e-6)
    loss.backward()
    grads = {name: weight.grad for name, weight in model.named_parameters()}
    joined = torch.cat([grads[f"to_{part}.weight"] for part in "qkv"])
    for name, wanted in golden.under("out.train.grad.mm_projector.").items():
        agree(joined if name == "clip_attn.in_proj_weight" else grads[ours(name)], wanted, 1e-5)

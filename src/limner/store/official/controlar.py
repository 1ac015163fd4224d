"""ControlAR's generator: the authors' names and ours (github.com/hustvl/ControlAR, commit 87e32e9).

It is a LlamaGen with MLPs for the control, which we are given as features of patches; the authors make them by DINOv2.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from limner.generators.backbones.llama import LlamaTransformer
from limner.generators.control import ControlCondition, ControlledTransformer
from limner.generators.generator import Generator
from limner.store.official import llamagen
from limner.store.release import Names, Release, fill

NAMES: Names = (
    (r"^condition\.adapter\.", "adapter_mlp."),
    (r"^condition\.project\.", "condition_mlp.cap_proj."),
    (r"^condition\.what\.", "condition."),
    (r"^backbone\.layers\.", "condition_layers."),
    (r"^backbone\.backbone\.", "backbone."),
    *llamagen.GENERATOR_NAMES,
)
UNUSED = rf"{llamagen.TABLES}|^adapter\.|^condition_embeddings\.|^condition_norm\.|^condition_mlp\.uncond_embedding$"

SIGNATURE = (
    "adapter_mlp.fc1.weight",
    "condition_mlp.cap_proj.fc1.weight",
    *(f"condition_layers.{layer}.fc1.weight" for layer in range(3)),
    "layers.0.attention.wqkv.weight",
    "output.weight",
)


def official_generator(sizes: llamagen.LlamaGenSizes, features: int) -> Generator:
    """A ControlAR over a LlamaGen of these sizes, whose control has so many features at each token."""
    base = llamagen.official_generator(sizes)
    assert isinstance(base.backbone, LlamaTransformer)
    return Generator(
        layout=base.layout,
        order=base.order,
        backbone=ControlledTransformer(base.backbone),
        head=base.head,
        condition=ControlCondition(base.condition, features, sizes.width),
        drop=sizes.drop,
    )


def fill_generator(generator: Generator, state: Mapping[str, Tensor]) -> None:
    """Load the state dict of the official ``Transformer``; raises `CheckpointError` naming what does not fit."""
    fill(generator, llamagen.prepared(state), NAMES, skip=UNUSED)


RELEASES = (
    Release(
        system="controlar",
        kind="generator",
        signature=SIGNATURE,
        build=lambda state: official_generator(llamagen.sizes_of(state), state[SIGNATURE[0]].shape[1]),
        names=NAMES,
        skip=UNUSED,
        prepare=llamagen.prepared,
    ),
)

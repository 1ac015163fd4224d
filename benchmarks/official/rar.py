"""RAR-B by github.com/bytedance/1d-tokenizer: ``generate``, with the settings published for it."""

from __future__ import annotations

from pathlib import Path

import torch
from contender import Contender
from torch import Tensor

from official.one_d import MaskgitVqgan, configuration, prepare

GENERATOR = {
    "hidden_size": 768,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 3072,
    "dropout": 0.1,
    "attn_drop": 0.1,
    "class_label_dropout": 0.1,
    "image_seq_len": 256,
    "condition_num_classes": 1000,
}


def build(folder: Path, device: torch.device) -> Contender:
    """Random weights at the published size."""
    prepare(folder, device)
    from modeling.rar import RAR  # type: ignore[import-not-found]

    generator, tokenizer = RAR(configuration({"codebook_size": 1024}, GENERATOR)), MaskgitVqgan()
    for module in (generator, tokenizer):
        module.to(device).eval().requires_grad_(False)
    generator.set_random_ratio(0)

    @torch.no_grad()
    def draw(classes: Tensor) -> Tensor:
        return generator.generate(classes, guidance_scale=16.0, randomize_temperature=1.0, guidance_scale_pow=2.75)

    return Contender(draw, tokenizer.decode, {"generator": generator, "tokenizer": tokenizer})

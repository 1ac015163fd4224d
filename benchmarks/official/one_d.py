"""What TiTok and RAR share in github.com/bytedance/1d-tokenizer: their configurations, and MaskGIT-VQGAN."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from official.stand_ins import Config, install

VQGAN = {
    "channel_mult": [1, 1, 2, 2, 4],
    "num_resolutions": 5,
    "dropout": 0.0,
    "hidden_channels": 128,
    "num_channels": 3,
    "num_res_blocks": 2,
    "resolution": 256,
    "z_channels": 256,
}


def prepare(folder: Path, device: torch.device) -> None:
    """Make the package ``modeling`` importable."""
    install(device)
    sys.path.insert(0, str(folder / "1d-tokenizer"))


def configuration(tokenizer: dict[str, Any], generator: dict[str, Any]) -> Config:
    """As its files hold it."""
    return Config({"model": {"vq_model": tokenizer, "generator": generator}})


class MaskgitVqgan(nn.Module):
    """The tokenizer of RAR, of their parts."""

    def __init__(self) -> None:
        super().__init__()
        from modeling.modules.maskgit_vqgan import Decoder, Encoder, VectorQuantizer  # type: ignore[import-not-found]

        self.encoder, self.decoder = Encoder(Config(VQGAN)), Decoder(Config(VQGAN))
        self.quantize = VectorQuantizer(num_embeddings=1024, embedding_dim=256, commitment_cost=0.25)

    def decode(self, ids: torch.Tensor) -> torch.Tensor:
        """Pictures in [0, 1]."""
        return self.decoder(self.quantize.get_codebook_entry(ids)).clamp(0.0, 1.0)

"""How to train: the knobs that every recipe shares."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from limner.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Counted in images, not steps, so that a change of batch size changes no schedule."""

    out: Path | None = None
    """Folder of the run: checkpoints, logs, samples and the finished model. The same command resumes it."""
    images: int = 200_000
    """Images to train on."""
    batch: int = 64
    """Images per optimizer step."""
    accumulate: int = 1
    """Split each batch into this many parts to save memory."""
    lr: float = 1e-3
    """Peak learning rate of AdamW."""
    muon: float = 0.0
    """Peak learning rate of Muon for the matrices of repeated blocks; 0 leaves all to AdamW."""
    warmup: int = 10_000
    """Images of linear warm-up, before the cosine to zero."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """Learning rate after the warm-up."""
    weight_decay: float = 0.02
    """Decoupled weight decay of matrices; vectors, biases and embeddings of one axis have none."""
    beta2: float = 0.99
    """Second AdamW coefficient; the first is 0.9."""
    clip: float = 1.0
    """Largest gradient norm; longer gradients are shortened to it."""
    ema: int = 10_000
    """Half-life of the weight average in images; 0 switches averaging off."""
    precision: Literal["bf16", "fp32"] = "bf16"
    """Arithmetic of the forward pass; weights and optimizer stay fp32."""
    seed: int = 0
    """Seed of the weights, the order of the data and every draw."""
    sample_every: int = 50_000
    """Images between sample grids and held-out scores."""
    checkpoint_every: int = 50_000
    """Images between checkpoints; the last two are kept."""
    minutes: float = 0.0
    """Stop, saved and resumable, after this many minutes; 0 is no limit."""
    device: str = "cpu"
    """Where to train: cpu, cuda, mps."""
    threads: int = 0
    """CPU threads; 0 leaves torch's choice."""

    def __post_init__(self) -> None:
        for name in ("images", "batch", "accumulate", "sample_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name.replace('_', '-')} is {getattr(self, name)}, but must be at least 1")
        if self.batch % self.accumulate:
            raise InputError(
                f"--batch {self.batch} cannot be split into --accumulate {self.accumulate} equal parts: "
                "choose a divisor of the batch"
            )
        if not self.lr > 0:
            raise InputError(f"--lr is {self.lr}, but must be above 0")
        if not self.muon >= 0:
            raise InputError(f"--muon is {self.muon}, but must be a learning rate, or 0 for AdamW alone")

    def learning_rate(self, images: int) -> float:
        """Learning rate after ``images`` images: linear warm-up, then half a cosine to zero (Loshchilov & Hutter,
        arXiv:1608.03983) or constant."""
        if images < self.warmup:
            return self.lr * (images + self.batch) / (self.warmup + self.batch)
        if self.schedule == "constant":
            return self.lr
        progress = (images - self.warmup) / max(self.images - self.warmup, 1)
        return self.lr * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))

    def ema_decay(self) -> float:
        """Decay of the weight average per optimizer step."""
        return 0.5 ** (self.batch / self.ema) if self.ema else 0.0

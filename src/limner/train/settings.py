"""How to train: the knobs that every recipe shares."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from limner.errors import InputError

RUN = {"run": True}  # of this run alone: not written on a model's card
FREE = {"free": True}  # may change when a run is resumed, as those of RUN may
SHARED = {"shared": True}  # a comparison decides it for all alike, as those of RUN
RARE = {"rare": True}  # seldom changed: `--help-all` explains it


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Counted in images, not steps, so that a change of batch size changes no schedule."""

    out: Path | None = field(default=None, metadata=RUN)
    """Folder of the run: checkpoints, logs, samples and the finished model. The same command resumes it."""
    images: int = field(default=200_000, metadata={**FREE, **SHARED})
    """Images to train on."""
    batch: int = field(default=64, metadata=FREE)
    """Images per optimizer step."""
    accumulate: int = field(default=1, metadata={**FREE, **RARE})
    """Split each batch into this many parts to save memory."""
    lr: float = 1e-3
    """Peak learning rate of AdamW."""
    muon: float = 0.0
    """Peak learning rate of Muon for the matrices of repeated blocks; 0 leaves all to AdamW."""
    warmup: int = 10_000
    """Images of linear warm-up, before the cosine to zero."""
    schedule: Literal["cosine", "constant"] = field(default="cosine", metadata=RARE)
    """Learning rate after the warm-up."""
    weight_decay: float = field(default=0.02, metadata=RARE)
    """Decoupled weight decay of matrices; vectors, biases and embeddings of one axis have none."""
    beta2: float = field(default=0.99, metadata=RARE)
    """Second AdamW coefficient; the first is 0.9."""
    clip: float = field(default=1.0, metadata=RARE)
    """Largest gradient norm; longer gradients are shortened to it."""
    ema: int = 10_000
    """Half-life of the weight average in images; 0 switches averaging off."""
    precision: Literal["bf16", "fp32"] = field(default="bf16", metadata=RARE)
    """Arithmetic of the forward pass; weights and optimizer stay fp32."""
    seed: int = field(default=0, metadata=SHARED)
    """Seed of the weights, the order of the data and every draw."""
    sample_every: int = field(default=50_000, metadata={**FREE, **SHARED})
    """Images between sample grids and held-out scores."""
    checkpoint_every: int = field(default=50_000, metadata={**FREE, **SHARED})
    """Images between checkpoints; the last two are kept."""
    minutes: float = field(default=0.0, metadata=RUN)
    """Stop, saved and resumable, after this many minutes; 0 is no limit."""
    device: str = field(default="cpu", metadata=RUN)
    """Where to train: cpu, cuda, mps."""
    threads: int = field(default=0, metadata=RUN)
    """CPU threads; 0 leaves torch's choice."""

    retired: ClassVar[frozenset[str]] = frozenset()
    """Knobs of older cards that never had an effect on this recipe: they are read over."""
    fixed: ClassVar[Mapping[str, Any]] = {}
    """Knobs of older cards of which one value is left, which they must have."""

    @classmethod
    def renewed(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Knobs of a card, those that an older version wrote otherwise as they are written now."""
        return values

    def __post_init__(self) -> None:
        for name in ("images", "batch", "accumulate", "sample_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name.replace('_', '-')} is {getattr(self, name)}, but must be at least 1")
        if self.batch % self.accumulate:
            raise InputError(
                f"--batch {self.batch} cannot be split into --accumulate {self.accumulate} equal parts: "
                "choose a divisor of the batch"
            )
        self._require_finite()
        if not self.lr > 0:
            raise InputError(f"--lr is {self.lr}, but must be above 0")
        if self.device != "cpu":
            from limner.nn.devices import find_device

            find_device(self.device)
        if not self.muon >= 0:
            raise InputError(f"--muon is {self.muon}, but must be a learning rate, or 0 for AdamW alone")

    def _require_finite(self) -> None:
        """No number is NaN or infinite, and those of the loop are in their range."""
        for one in fields(self):
            value, option = getattr(self, one.name), one.name.replace("_", "-")
            numbers = value if isinstance(value, (tuple, list)) else [value]
            if any(isinstance(number, float) and not math.isfinite(number) for number in numbers):
                raise InputError(f"--{option} is {value}, but must be a finite number")
        for name in ("warmup", "weight_decay", "ema", "minutes", "threads"):
            if getattr(self, name) < 0:
                raise InputError(f"--{name.replace('_', '-')} is {getattr(self, name)}, but must not be below 0")
        if not self.clip > 0:
            raise InputError(f"--clip is {self.clip}, but must be above 0: a large number clips nothing")
        if not 0 <= self.beta2 < 1:
            raise InputError(f"--beta2 is {self.beta2}, but must be in [0, 1)")

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


def marked(kind: type, *marks: str) -> frozenset[str]:
    """Names of the knobs that a dataclass, or one that it derives from, marks by ``field(metadata={mark: True})``."""
    bases = [base for base in kind.__mro__ if is_dataclass(base)]
    return frozenset(
        one.name for base in bases for one in fields(base) if any(one.metadata.get(mark) for mark in marks)
    )

"""What a score was measured by. A number without its protocol is not a score, and only equal protocols compare."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from torch import nn

from limner.errors import ProtocolError


@dataclass(frozen=True)
class Protocol:
    """Everything that changes a score although the measured model stays the same.

    ``reference``: the set compared against or the prompt set; ``resize``: what is done to pictures before measuring;
    ``count``: pictures measured; ``judge``: the network that judges, by name and ``judge_hash``; ``reference_hash``:
    digest of the very pictures or prompts; ``seed``: of whatever is drawn; ``version``: of the procedure, raised when
    its code changes the numbers.
    """

    reference: str
    count: int
    size: int | tuple[int, int]
    resize: str = "none"
    judge: str = "none"
    judge_hash: str = ""
    reference_hash: str = ""
    seed: int = 0
    version: int = 1

    @property
    def hash(self) -> str:
        """Sixteen hexadecimal digits that change with any field."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Score:
    """A named value with the protocol it was measured by; ``a - b`` and ``<`` refuse different protocols."""

    name: str
    value: float
    protocol: Protocol

    def __sub__(self, other: Score) -> float:
        self._require_same(other)
        return self.value - other.value

    def __lt__(self, other: Score) -> bool:
        self._require_same(other)
        return self.value < other.value

    def __gt__(self, other: Score) -> bool:
        self._require_same(other)
        return self.value > other.value

    def _require_same(self, other: Score) -> None:
        if self.name != other.name:
            raise ProtocolError(f"{self.name} and {other.name} are different scores; compare scores of one name")
        for field in fields(Protocol):
            mine, theirs = getattr(self.protocol, field.name), getattr(other.protocol, field.name)
            if mine != theirs:
                raise ProtocolError(
                    f"two scores {self.name} cannot be compared because their protocols differ in {field.name} "
                    f"({mine} and {theirs}); measure both with the same one"
                )


def weights_hash(model: nn.Module) -> str:
    """Sixteen hexadecimal digits over names, shapes and values of all weights and buffers (as stored, any dtype)."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def file_hash(path: Path) -> str:
    """Sixteen hexadecimal digits over the bytes of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]

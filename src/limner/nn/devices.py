"""Where and in what arithmetic a model computes, by the names that people give."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal, TypeAlias

import torch

from limner.errors import InputError

Precision: TypeAlias = Literal["fp32", "bf16", "fp16"]
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def find_device(name: str) -> torch.device:
    """The device called so, such as cpu, cuda, cuda:1 or mps; raises `InputError` if this machine, or the torch that is
    installed, has none of it."""
    try:
        device = torch.device(name)
        torch.empty(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:120].rstrip(". ")
        raise InputError(f"there is no device {name!r} here ({reason}): choose {' or '.join(devices())}") from None
    if device.type == "meta":
        raise InputError("the device 'meta' computes nothing: choose " + " or ".join(devices()))
    return device


def devices() -> list[str]:
    """Kinds of devices there are."""
    found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return ["cpu", *(name for name, there in found.items() if there)]


def arithmetic(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """While it is open, matrix products are computed in ``precision``; weights stay as they are."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, DTYPES[precision])

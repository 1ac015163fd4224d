"""The tensors of a file of weights, whoever wrote it and however they lie in it; reading never runs what a file holds.

    {"epoch": 3, "model": {"module.head.weight": w}}   is read as   {"model.head.weight": w}

Nested containers become dotted names, and levels that training frameworks put between (``module``, ``_orig_mod``) go.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from limner.errors import CheckpointError, InputError

LEVELS = {"module", "_orig_mod", "_forward_module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
CLASSES = 64  # of objects beside the tensors that are passed over
DEPTH = 16  # containers within containers


class PassedOver:
    """Stands for an object whose class is not looked up: whatever it was made of is dropped."""

    def __init__(self, *parts: Any) -> None: ...

    def __setstate__(self, state: Any) -> None: ...


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a ``.safetensors`` file, or of what `torch.save` writes, now or before version 1.6.

    Of a pickle only tensors and plain containers are made; other objects, such as the arguments of a run, are passed
    over. Raises `InputError` if there is no such file, `CheckpointError` if it cannot be read or holds no tensors.
    """
    if not path.is_file():
        raise InputError(f"{path} is no file: give the file of the weights")
    try:
        content = load_file(path) if path.suffix == ".safetensors" else _unpickled(path)
    except pickle.UnpicklingError:
        raise CheckpointError(
            f"{path} holds more than tensors, and reading it could run code: save the state dict alone, "
            "torch.save(model.state_dict(), path)"
        ) from None
    except Exception as error:  # damaged bytes end in whatever the libraries happen to stumble over
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise CheckpointError(f"{path} cannot be read ({reason}): download it again") from None
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds a {type(content).__name__} and no state dict: give a file of weights")
    tensors = dict(_flat(content, ()))
    if not tensors:
        raise CheckpointError(f"{path} holds no tensors: give a file of weights")
    return tensors


def _unpickled(path: Path) -> Any:
    mapped = zipfile.is_zipfile(path)  # as it has been since version 1.6
    passed: dict[str, tuple[Any, str]] = {}
    while True:
        try:
            with torch.serialization.safe_globals(list(passed.values())):
                return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
        except pickle.UnpicklingError as error:
            unknown = re.search(r"GLOBAL (\S+) was not an allowed global", str(error))
            if unknown is None or unknown[1] in passed or len(passed) == CLASSES:
                raise
            passed[unknown[1]] = (PassedOver, unknown[1])


def _flat(content: Mapping[Any, Any], levels: tuple[str, ...]) -> Iterator[tuple[str, Tensor]]:
    for key, value in content.items():
        if isinstance(value, Tensor):
            yield ".".join((*levels, *(level for level in str(key).split(".") if level not in LEVELS))), value
        elif isinstance(value, Mapping) and len(levels) < DEPTH:
            yield from _flat(value, (*levels, str(key)))

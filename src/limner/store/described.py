"""What shapes do not tell of a release, such as how many heads its attention has: the ``config.json`` that lies beside
the weights says so, or the published models do, or it is taken for granted and said.

    16 heads   <-   {"num_attention_heads": 16}   or   {1024: 16}[width]   or   width / 64, with a warning
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from limner.errors import CheckpointError

CONFIG = "config.json"  # beside the weights, and the key under which its bytes lie among the tensors
LARGEST = 1_000_000  # bytes of one
HEADS = ("num_attention_heads", "num_heads", "n_head", "n_heads", "heads")  # what it calls them
USUAL = 64  # channels of a head


def config_beside(path: Path) -> dict[str, Tensor]:
    """The config.json beside a file of weights as a tensor of its bytes; nothing if there is none."""
    beside = path.parent / CONFIG
    if path.name == CONFIG or not beside.is_file() or beside.stat().st_size > LARGEST:
        return {}
    return {CONFIG: torch.frombuffer(bytearray(beside.read_bytes() or b"{}"), dtype=torch.uint8)}


def heads_of(
    state: Mapping[str, Tensor],
    width: int,
    published: Mapping[int, int],
    *,
    names: Sequence[str] = HEADS,
    within: Sequence[str] = (),
) -> int:
    """Heads of an attention of ``width`` channels.

    Args:
        state: with the bytes of a config.json under `CONFIG`, if there was one.
        published: heads of the published models, by width.
        names: what a config.json may call them, the likeliest first.
        within: parts of it that are read before the rest: those of an encoder beside a language model.

    Warns where neither says, and raises `CheckpointError` where heads do not divide the width, or `USUAL` does not.
    """
    heads = _heads_written(state, names, within) or published.get(width)
    if heads is None and width % USUAL == 0:
        heads = width // USUAL
        warnings.warn(
            f"a model of width {width} was never published, and no {CONFIG} beside it says how many heads it has: "
            f"{heads} of {USUAL} channels are taken for granted",
            stacklevel=2,
        )
    if heads is None or heads < 1 or width % heads:
        known = "nothing says how many heads it has" if heads is None else f"{heads} heads do not divide that"
        raise CheckpointError(
            f"a model of width {width} was never published, and {known}: put a {CONFIG} such as "
            f'{{"{names[0]}": {max(width // USUAL, 1)}}} beside the weights'
        )
    return heads


def sides_of(state: Mapping[str, Tensor], names: Sequence[str], scales: int) -> tuple[int, ...]:
    """Tokens on a side at each of so many scales, as a config.json says; nothing if it does not."""
    for sides in (value for name in names for value in _values(_content(state), name)):
        if isinstance(sides, list) and len(sides) == scales and all(type(side) is int and side > 0 for side in sides):
            return tuple(sides)
    return ()


def _content(state: Mapping[str, Tensor]) -> Any:
    try:
        return json.loads(bytes(state[CONFIG].numpy())) if CONFIG in state else None
    except (ValueError, RecursionError):
        return None  # it lies beside by chance


def _heads_written(state: Mapping[str, Tensor], names: Sequence[str], within: Sequence[str]) -> int | None:
    content = _content(state)
    parts = [part for name in within for part in _values(content, name) if isinstance(part, dict)]
    for part in [*parts, content]:
        for name in names:
            if found := [value for value in _values(part, name) if type(value) is int]:
                return found[0]
    return None


def _values(content: Any, name: str) -> list[Any]:
    """Of every key of this name in nested JSON, those outside first."""
    found, left = [], [content]
    for inner in left:
        if isinstance(inner, dict):
            found += [inner[name]] if name in inner else []
            left += inner.values()
    return found

"""What is timed: something that draws tokens for classes, and makes pictures of tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

Tokens = Any  # whatever the drawing half hands to the other


@dataclass(frozen=True)
class Contender:
    """One implementation of a system.

    Args:
        draw: classes to tokens.
        decode: tokens to pictures.
        modules: what holds the weights, and is read and laid out: by name, of the official kind or of ours.
        share: part of the drawing that is computed. Where a drawing takes minutes, some of its iterations, evenly
            spaced, stand for all: the others are skipped over, and the seconds of drawing are divided by the share.
        lowered: in bf16 the generator's weights are bf16, as its authors' script does, since autocast alone fails.
    """

    draw: Callable[[Tensor], Tokens]
    decode: Callable[[Tokens], Tensor]
    modules: dict[str, nn.Module]
    share: float = 1.0
    lowered: bool = False


def computed(step: int, total: int, wanted: int) -> bool:
    """Whether step 0 .. total - 1 is one of ``wanted`` evenly spaced ones, each in the middle of its stretch."""
    return step in {(2 * i + 1) * total // (2 * wanted) for i in range(wanted)}


class Uninitialised(TorchFunctionMode):
    """While it is entered, nothing is initialised at random: weights are about to be overwritten, and random numbers
    for half a billion of them take longer than a picture."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in DRAWS and args and isinstance(args[0], nn.Parameter):
            return args[0]
        return func(*args, **(kwargs or {}))


DRAWS = ("uniform_", "normal_", "kaiming_uniform_", "erfinv_")


@torch.no_grad()
def randomise(module: nn.Module, seed: int = 0) -> None:
    """Weights that keep activations of about unit size whatever the initialisation was: of matrices and convolutions
    deviation ``1 / sqrt(inputs)``, of norms one, of biases zero, of tables 0.02. Numbers repeat every million."""
    numbers = torch.randn(1_000_003, generator=torch.Generator().manual_seed(seed))
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            if isinstance(part, nn.LayerNorm | nn.GroupNorm) and name == "weight":
                parameter.fill_(1.0)
            elif parameter.ndim > 1:
                weighs = isinstance(part, nn.Linear | nn.Conv2d | nn.MultiheadAttention) and name.endswith("weight")
                deviation = parameter[0].numel() ** -0.5 if weighs else 0.02
                repeats = -(-parameter.numel() // len(numbers))
                values = numbers.repeat(repeats)[: parameter.numel()]
                parameter.copy_(values.mul_(deviation).view(parameter.shape))
            elif name == "bias" or not bool(parameter.isfinite().all()):
                parameter.zero_()

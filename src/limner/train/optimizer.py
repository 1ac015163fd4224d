"""Who descends: AdamW on everything, or Muon on the matrices of repeated blocks and AdamW on the rest.

    Muon:  M <- mu M + G,   W <- W - lr 0.2 sqrt(max(rows, columns)) U V'   where   U S V' = M

Every direction of a matrix moves at one rate, however rarely the data point along it (Jordan et al. 2024,
https://kellerjordan.github.io/posts/muon); the scale makes its learning rate comparable to AdamW's (Liu et al.,
arXiv:2502.16982, Eq. 4). U V' comes from five Newton-Schulz iterations, which cost most in small batches.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from limner.train.settings import Settings


def repeated(modules: Iterable[nn.Module]) -> set[Tensor]:
    """Weights of the linear layers in stacks of blocks (`nn.ModuleList`): neither embeddings nor first or last layers,
    for whose rows and columns a common rate is wrong."""
    stacks = [module for whole in modules for module in whole.modules() if isinstance(module, nn.ModuleList)]
    return {layer.weight for stack in stacks for layer in stack.modules() if isinstance(layer, nn.Linear)}


class Optimizer:
    """All optimizers of a run as one.

    Args:
        modules: what is trained.
        parameters: those of their parameters that are.
        settings: learning rates, decay and coefficients.
    """

    def __init__(self, modules: Iterable[nn.Module], parameters: Iterable[nn.Parameter], settings: Settings) -> None:
        inner = repeated(modules) if settings.muon else set()
        parameters = list(parameters)
        rest = [p for p in parameters if p not in inner]
        groups = [
            {"params": [p for p in rest if p.ndim > 1], "weight_decay": settings.weight_decay},
            {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self.parts: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(groups, lr=settings.lr, betas=(0.9, settings.beta2), fused=True)
        ]
        matrices = [p for p in parameters if p in inner]
        if matrices:
            muon = torch.optim.Muon(
                matrices, lr=settings.muon, weight_decay=settings.weight_decay, adjust_lr_fn="match_rms_adamw"
            )
            self.parts.append(muon)
        self.peaks = [group["lr"] for part in self.parts for group in part.param_groups]

    def step(self, share: float) -> None:
        """One step at ``share`` of the peak learning rates."""
        groups = [group for part in self.parts for group in part.param_groups]
        for group, peak in zip(groups, self.peaks, strict=True):
            group["lr"] = peak * share
        for part in self.parts:
            part.step()

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for part in self.parts:
            part.zero_grad(set_to_none=True)

    def state(self, parameter: nn.Parameter) -> dict[str, Tensor]:
        """Moments and counts that belong to a parameter, by name; empty before the first step."""
        return {key: value for part in self.parts for key, value in part.state.get(parameter, {}).items()}

    def restore(self, parameter: nn.Parameter, state: dict[str, Tensor]) -> None:
        """Put back what `state` gave."""
        for part in self.parts:
            if any(parameter is one for group in part.param_groups for one in group["params"]):
                part.state[parameter] = {key: _laid_out_as(parameter, value) for key, value in state.items()}


def _laid_out_as(parameter: Tensor, value: Tensor) -> Tensor:
    """``value`` in the memory order of its parameter, without which the fused optimizer on a CPU, which walks both side
    by side, would pair the wrong numbers of channels-last weights."""
    if value.ndim == 0:
        return value.to(parameter.device) if parameter.is_cuda else value
    return torch.empty_like(parameter, dtype=value.dtype).copy_(value)

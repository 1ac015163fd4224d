"""Low-rank adapters: a pretrained matrix W stays, and learns as ``W + (alpha / r) B A`` (Hu et al., LoRA,
arXiv:2106.09685, Eq. 3), by the `peft` library.

    adapt(language.model, rank=16)       from now on only A and B learn; B starts at zero, so nothing has changed
    merge(language.model)                W becomes the sum, and the adapters are gone
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from limner.errors import InputError

ALL = "all-linear"  # every linear layer but the head


def adapt(model: nn.Module, *, rank: int, alpha: float | None = None, targets: Sequence[str] = (ALL,)) -> None:
    """Put adapters into a model of `transformers`, in place, and freeze all else. They are fp32, whatever the model is.

    Args:
        model: gains them.
        rank: columns of B and rows of A.
        alpha: scale times rank; None is twice the rank.
        targets: names of linear layers such as ``q_proj``, or ``all-linear``.

    Raises `InputError` if `peft` is not installed, the rank is below 1, or nothing is called so.
    """
    peft = _peft()
    if rank < 1:
        raise InputError(f"adapters of rank {rank} cannot be: choose 1 or more")
    names = ALL if tuple(targets) == (ALL,) else list(targets)
    scale = 2 * rank if alpha is None else alpha
    config = peft.LoraConfig(r=rank, lora_alpha=scale, target_modules=names, task_type=None)
    try:
        peft.inject_adapter_in_model(config, model)
    except ValueError as error:
        raise InputError(
            f"adapters find no layer among {', '.join(targets)} ({str(error)[:80]}): name others"
        ) from None
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()  # steps on bf16 weights would be rounded away


def merge(model: nn.Module) -> None:
    """Add adapters to the matrices they belong to, in place, and take them away; a model without any is left alone."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    adapted = {name: layer for name, layer in model.named_modules() if isinstance(layer, BaseTunerLayer)}
    for name, layer in adapted.items():
        layer.merge()
        model.set_submodule(name, layer.get_base_layer())


def _peft() -> Any:
    try:
        import peft
    except ImportError:
        raise InputError("adapters need peft: run pip install 'limner[llm]'") from None
    return peft

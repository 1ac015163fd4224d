"""A module that another module owns: it moves with its borrower, and is neither trained nor saved by it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

import torch
from torch import nn

M = TypeVar("M")  # a module by its class, or by the protocol that it is known by


class Borrowed(nn.Module, Generic[M]):
    """Holds ``module`` without registering it: it adds no parameter, no key of a state dict, and keeps its own mode.

    Args:
        module: stays the object that it is.
        casts: it follows its borrower to other precisions too, not to other devices alone.
    """

    def __init__(self, module: M, *, casts: bool = True) -> None:
        super().__init__()
        assert isinstance(module, nn.Module)
        self._held, self.casts = (module,), casts

    @property
    def module(self) -> M:
        """The module."""
        return self._held[0]

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Borrowed[M]:
        module = cast(nn.Module, self.module)
        if self.casts:
            module._apply(fn, recurse)
        else:
            module.to(fn(torch.zeros(())).device)
        return self

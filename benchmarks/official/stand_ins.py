"""What the authors' code imports and does not need to draw, or needs a few lines of.

Packages such as timm and torchvision pin versions of torch; here are the blocks that the code takes from them, with the
arithmetic and the parameter names of timm 0.9, written anew. Packages that only training uses are empty.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class Mlp(nn.Module):
    """timm's: two layers around an activation."""

    def __init__(
        self,
        in_features: int,
        hidden_features: int | None = None,
        act_layer: type[nn.Module] = nn.GELU,
        norm_layer: object = None,
        bias: bool = True,
        drop: float = 0.0,
    ) -> None:
        super().__init__()
        self.fc1 = nn.Linear(in_features, hidden_features or in_features, bias)
        self.act, self.drop = act_layer(), nn.Dropout(drop)
        self.fc2 = nn.Linear(hidden_features or in_features, in_features, bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.fc2(self.drop(self.act(self.fc1(x)))))


class SwiGlu(nn.Module):
    """timm's: two inner halves, one of which gates the other."""

    def __init__(self, in_features: int, hidden_features: int, act_layer: object = None, drop: float = 0.0) -> None:
        super().__init__()
        self.fc1_g, self.fc1_x = nn.Linear(in_features, hidden_features), nn.Linear(in_features, hidden_features)
        self.fc2, self.drop = nn.Linear(hidden_features, in_features), nn.Dropout(drop)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.fc2(functional.silu(self.fc1_g(x)) * self.fc1_x(x)))


class Attention(nn.Module):
    """timm's: multi-head self-attention by the fused kernel."""

    def __init__(self, dim: int, num_heads: int, qkv_bias: bool, attn_drop: float, proj_drop: float) -> None:
        super().__init__()
        self.num_heads, self.attn_drop = num_heads, attn_drop
        self.qkv, self.proj = nn.Linear(dim, 3 * dim, qkv_bias), nn.Linear(dim, dim)
        self.proj_drop = nn.Dropout(proj_drop)

    def forward(self, x: Tensor) -> Tensor:
        batch, count, width = x.shape
        query, key, value = self.qkv(x).reshape(batch, count, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        dropout = self.attn_drop if self.training else 0.0
        mixed = functional.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
        return self.proj_drop(self.proj(mixed.transpose(1, 2).reshape(batch, count, width)))


class Block(nn.Module):
    """timm's block of a vision transformer, as MAR calls it."""

    def __init__(
        self,
        dim: int,
        num_heads: int,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = False,
        norm_layer: type[nn.LayerNorm] = nn.LayerNorm,
        proj_drop: float = 0.0,
        attn_drop: float = 0.0,
    ) -> None:
        super().__init__()
        self.norm1, self.norm2 = norm_layer(dim), norm_layer(dim)
        self.attn = Attention(dim, num_heads, qkv_bias, attn_drop, proj_drop)
        self.mlp = Mlp(dim, int(dim * mlp_ratio), drop=proj_drop)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Config(dict[str, Any]):
    """omegaconf's, as far as its values are read."""

    def __getattr__(self, name: str) -> Any:
        if name not in self:
            raise AttributeError(name)
        value = self[name]
        return Config(value) if isinstance(value, dict) else value

    @staticmethod
    def create(values: dict[str, Any]) -> Config:
        """The values, to be read as attributes."""
        return Config(values)


def _module(name: str, **content: object) -> None:
    module = ModuleType(name)
    module.__dict__.update(content)
    sys.modules[name] = module
    above, _, last = name.rpartition(".")
    if above:
        setattr(sys.modules[above], last, module)


def install(device: torch.device) -> None:
    """Make them importable; on a CPU ``x.cuda()`` is ``x``."""
    _module("timm")
    _module("timm.layers", Mlp=Mlp, SwiGLU=SwiGlu)
    _module("timm.models")
    _module("timm.models.vision_transformer", Block=Block, LayerScale=nn.Identity, DropPath=nn.Identity)
    _module("torchvision", models=None)
    _module("torchvision.models")
    _module("omegaconf", OmegaConf=Config)
    _module("requests")
    _module("accelerate")
    _module("accelerate.utils")
    _module("accelerate.utils.operations", gather=lambda x: x)
    _module("flash_attn", flash_attn_func=None)
    if device.type == "cpu":
        torch.Tensor.cuda = lambda self, *_, **__: self  # type: ignore[assignment, method-assign]

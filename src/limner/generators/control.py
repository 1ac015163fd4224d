"""Control of every token: what the image shows where, as edges or depth say (Li et al., ControlAR, arXiv:2410.02705,
Section 3.2).

    c_i  =  mlp(mlp(features of the control at token i)),        0 where the condition is dropped
    x   <-  x + strength * mlp_k(c_i),   before layers 0, n / 3 and 2 n / 3;   x the state that predicts token i

No MLP has a bias, so that no control adds nothing.
"""

from __future__ import annotations

from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from limner.errors import InputError
from limner.generators.backbones.backbone import Contexts, Embedded
from limner.generators.backbones.llama import LlamaTransformer
from limner.generators.conditions import Condition, Conditioning, ConditionInput, Controlled
from limner.nn.blocks import Context, hooked
from limner.nn.cache import KeyValueCache
from limner.nn.transformer import Mlp, Sequence
from limner.types import Steps

LAYERS = 3  # before which the control is added


def control_mlp(channels: int, width: int) -> Mlp:
    """Two linear layers without biases around a GELU."""
    mlp = Mlp(channels, width, partial(functional.gelu, approximate="tanh"))
    mlp.fc1, mlp.fc2 = nn.Linear(channels, width, bias=False), nn.Linear(width, width, bias=False)
    return mlp


class ControlCondition(nn.Module):
    """A class or caption, and a control; both are withheld together.

    Args:
        what: of the class or caption.
        features: channels of the control at each token.
        width: of the backbone.
    """

    def __init__(self, what: Condition, features: int, width: int) -> None:
        super().__init__()
        self.what, self.count = what, what.count
        self.adapter, self.project = control_mlp(features, width), control_mlp(width, width)

    def forward(self, condition: ConditionInput, dropped: Bool[Tensor, "b"]) -> Conditioning:
        if not isinstance(condition, Controlled):  # a class or caption alone
            return self.what(condition, dropped)
        control = self.adapter(condition.control.to(self.adapter.fc1.weight.dtype))
        control = torch.where(dropped[:, None, None], torch.zeros_like(control), control)
        return self.what(condition.what, dropped)._replace(per_token=self.project(control))


class ControlledTransformer(nn.Module):
    """A `LlamaTransformer` that adds to each state the control of the token it predicts.

    Args:
        backbone: the transformer; its depth is a multiple of 3.
        strength: of the control; 1 is that of training.
    """

    def __init__(self, backbone: LlamaTransformer, strength: float = 1.0) -> None:
        super().__init__()
        depth = len(backbone.blocks)
        if depth % LAYERS:
            raise InputError(
                f"control is added at thirds of the depth, but {depth} blocks have none: use a multiple of 3"
            )
        self.backbone, self.width, self.strength = backbone, backbone.width, strength
        self.layers = nn.ModuleList(control_mlp(self.width, self.width) for _ in range(LAYERS))

    def cache(self) -> KeyValueCache:
        """Room for the keys and values of the whole sequence."""
        return self.backbone.cache()

    def forward(
        self,
        x: Embedded,
        steps: Steps,
        condition: Conditioning,
        targets: Int[Tensor, "b m"],
        cache: KeyValueCache | None = None,
    ) -> Contexts:
        with hooked(self.backbone.blocks, self._add):
            return self.backbone(x, steps, condition, targets, cache)

    def _add(self, layer: int, x: Sequence, context: Context) -> tuple[Sequence, Context]:
        third, within = divmod(layer, len(self.backbone.blocks) // LAYERS)
        if within == 0 and context.per_token is not None:
            x = x + self.strength * self.layers[third](context.per_token)
        return x, context


def edges(image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 h w"]:
    """How steep the brightness of an image in [-1, 1] is, in [0, 1]: the length of its gradient by Sobel's filters."""
    brightness = functional.pad(image.float().mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    slope = image.new_tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]], dtype=torch.float32)
    gradient = functional.conv2d(brightness, torch.stack([slope, slope.mT])[:, None] / 4.0)
    return gradient.norm(dim=1, keepdim=True).clamp_max(1.0)

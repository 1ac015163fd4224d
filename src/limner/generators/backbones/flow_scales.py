"""FlowAR's backbone: a transformer says what a scale means, and small blocks denoise the whole scale by it (Ren et al.,
arXiv:2412.15205).

    semantics   h_i = transformer(condition, s_1 .. s_(i-1), enlarged),       one vector per place of scale i
    noised      x + gate * f(norm(x) * (1 + scale) + shift),    places of a scale attend to each other
                [shift | scale | gate](place) = linear(silu(time(t_i) + h_i(place)))          (Spatial-adaLN)

While a scale is denoised, the blocks alone run again and again; the transformer runs once per scale, with
keys and values of coarser scales kept.
"""

from __future__ import annotations

from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from limner.generators.backbones.backbone import Contexts, Embedded
from limner.generators.backbones.denoising import masked, spread
from limner.generators.backbones.scales import ScaleTransformer
from limner.generators.conditions import Conditioning
from limner.nn.blocks import Attention, Block, Context, Modulation, Stack, modulate
from limner.nn.cache import KeyValueCache
from limner.nn.timesteps import TimestepEmbedding
from limner.nn.transformer import Mlp, take
from limner.types import Steps


class FlowScales(nn.Module):
    """A transformer over coarser scales, and blocks that denoise the tokens of a scale together by what it says. For
    orders that predict one grid after the other, see `Scales`; rows take the same steps.

    Args:
        semantics: makes the contexts; its width and its grids are those of the blocks.
        depth, heads: of the blocks.
        spatial: each position is modulated by its own context, the paper's; False: all of a scale by their mean.
    """

    def __init__(self, semantics: ScaleTransformer, *, depth: int, heads: int, spatial: bool = True) -> None:
        super().__init__()
        width = semantics.width
        self.semantics, self.width, self.spatial = semantics, width, spatial
        self.time = TimestepEmbedding(width)
        self.position = nn.Parameter(torch.zeros(1, semantics.layout.length, width))
        norm = partial(nn.LayerNorm, width, eps=1e-6, elementwise_affine=False)
        self.blocks = Stack(
            Block(Attention(width, heads), Mlp(width, 4 * width, functional.gelu), norm) for _ in range(depth)
        )
        self.modulations = nn.ModuleList(nn.Linear(width, 6 * width) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.modulation = nn.Linear(width, 2 * width)
        self.initialise()

    @torch.no_grad()
    def initialise(self) -> None:
        """Modulations at zero, so that blocks start as the identity."""
        nn.init.normal_(self.position, std=0.02)
        for layer in (*self.modulations, self.modulation):
            assert isinstance(layer, nn.Linear)
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def cache(self) -> KeyValueCache:
        """Room for the keys and values of the transformer; blocks keep nothing."""
        return self.semantics.cache()

    def forward(
        self,
        x: Embedded,
        steps: Steps,
        condition: Conditioning,
        targets: Int[Tensor, "b m"],
        cache: KeyValueCache | None = None,
    ) -> NoisedScales:
        return NoisedScales(self, self.semantics(x, steps, condition, targets, cache), take(steps, targets), targets)

    def run(
        self, x: Embedded, place: Int[Tensor, "m"], condition: Float[Tensor, "b #m d"], mask: Bool[Tensor, "m m"] | None
    ) -> Contexts:
        """One pass over noised tokens at these places."""
        x = x + self.position[:, place]
        context = Context(mask, modulation=lambda layer: Modulation.of(self.modulations[layer](condition)))
        shift, scale = self.modulation(condition).chunk(2, dim=-1)
        return modulate(self.norm(self.blocks(x, context)), shift, scale)


class NoisedScales:
    """The `Denoiser` of `FlowScales`: each scale has its own noise level, and sees nothing of other scales' noise."""

    def __init__(self, trunk: FlowScales, semantics: Contexts, steps: Steps, targets: Int[Tensor, "b m"]) -> None:
        scale = torch.unique(steps[0], return_inverse=True)[1]
        own = scale[:, None] == scale
        self.trunk, self.place, self.mask = trunk, targets[0], masked(own)
        self.scale, self.level = scale, scale.expand(len(targets), -1)
        self.levels = int(scale.max()) + 1
        share = own.to(semantics.dtype)
        self.semantics = semantics if trunk.spatial else (share / share.sum(1, keepdim=True)) @ semantics

    def __call__(self, noised: Embedded, t: Int[Tensor, "b levels"]) -> Contexts:
        condition = functional.silu(spread(self.trunk.time(t), self.scale) + self.semantics[: len(noised)])
        return self.trunk.run(noised, self.place, condition, self.mask)

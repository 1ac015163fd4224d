"""Tokens to latents by a flow: FlexTok's decoder (Bachmann et al., arXiv:2502.13967, Section 3.2).

    x_1 = noise,   dx_t/dt = v(x_t, t | tokens 1 .. k),   latents = x_0               rectified flow, see `flow`
    [patches' | .] = transformer([patches(x_t) | registers], t),   v = project(norm(patches') (1 + scale) + shift)

Registers beyond the k-th are a learnt mask, so any first tokens decode: few say what the image shows, more say it in
detail. With all registers replaced by a learnt vector the decoder knows nothing, which guidance compares with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from limner.nn.blocks import Block, Context, Modulation, modulate
from limner.nn.timesteps import TimestepEmbedding
from limner.processes.flow import euler, euler_times
from limner.tokenizers.registers import LatentPatches, PatchGrid, Registers, TransformerSizes, register_blocks
from limner.types import Latents

Guide: TypeAlias = Callable[[Latents, Latents], Latents]  # velocities with and without tokens to the one followed
PERIOD = 256.0  # of the waves that the time of the flow becomes


def classifier_free(scale: float) -> Guide:
    """``v_0 + scale (v - v_0)`` (Ho & Salimans, arXiv:2207.12598)."""
    return lambda conditional, free: free + scale * (conditional - free)


class ProjectedGuidance:
    """Guidance that does not oversaturate, over one trajectory (Sadat et al., APG, arXiv:2410.02416, Algorithm 1).

        d <- v - v_0 + momentum d,   d' = d min(1, longest / |d|),   v + (scale - 1) (d' - its part along v)

    with one d per image.
    """

    def __init__(self, scale: float, *, momentum: float = -0.5, longest: float = 2.5) -> None:
        self.scale, self.momentum, self.longest = scale, momentum, longest
        self.difference: Tensor | float = 0.0

    def __call__(self, conditional: Latents, free: Latents) -> Latents:
        self.difference = conditional - free + self.momentum * self.difference
        length = self.difference.flatten(1).norm(dim=1)[:, None, None]
        change = (self.difference * (self.longest / length).clamp_max(1.0)).double()
        along = functional.normalize(conditional.flatten(1).double(), dim=1).view_as(change)
        change = change - (change * along).sum((1, 2), keepdim=True) * along
        return conditional + (self.scale - 1.0) * change.to(conditional.dtype)


class FlowDecoder(nn.Module):
    """The velocity of latents under some first tokens.

    Args:
        latents: what is drawn.
        sizes: of the transformer.
        count: registers at most.
        codes: channels of a token's code.
        kinds: 2: patches and registers are modulated each in its own way; 1: alike.
        frequency: of the fastest wave that the time becomes, per unit of time.
    """

    def __init__(
        self,
        latents: PatchGrid,
        sizes: TransformerSizes,
        *,
        count: int,
        codes: int,
        kinds: int = 2,
        frequency: float = 1000.0,
    ) -> None:
        super().__init__()
        self.width = width = sizes.width
        self.count = count
        self.embed = nn.Linear(codes, width)
        self.position = nn.Parameter(0.02 * torch.randn(1, 1, width, count))
        self.mask, self.nothing = (nn.Parameter(0.02 * torch.randn(width)) for _ in range(2))
        self.patches = LatentPatches(latents, width)
        self.time = TimestepEmbedding(width, period=PERIOD, scale=frequency)
        self.blocks = register_blocks(sizes, kinds=kinds)
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))
        self.project = nn.Linear(width, latents.channels * latents.patch**2)
        for parameter in (*self.modulation.parameters(), *self.project.parameters()):
            nn.init.zeros_(parameter)

    def registers(self, codes: Float[Tensor, "b c 1 k"], kept: Int[Tensor, "b"] | None = None) -> Registers:
        """The registers of the first tokens of each image, masked beyond them, or beyond the first ``kept`` of each."""
        count = codes.shape[-1]
        kept = torch.full((len(codes),), count, device=codes.device) if kept is None else kept
        known = self.embed(rearrange(codes, "b c 1 k -> b k c").to(self.embed.weight.dtype))
        known = functional.pad(known, (0, 0, 0, self.count - count)) + self.position[0].mT
        masked = torch.arange(self.count, device=codes.device) >= kept[:, None]
        return torch.where(masked[..., None], self.mask, known)

    def without(self, registers: Registers, dropped: Bool[Tensor, "b"]) -> Registers:
        """Of some images the registers that know nothing."""
        return torch.where(dropped[:, None, None], self.nothing, registers)

    def forward(self, x: Latents, t: Float[Tensor, "b"], registers: Registers) -> Latents:
        """The velocity ``noise - latents`` of each image at its own time, 0 (latents) to 1 (noise)."""
        time = self.time(t)
        patches = self.patches(x.to(time.dtype))
        y = torch.cat([patches, registers], dim=1)
        lengths = torch.tensor([patches.shape[1], registers.shape[1]], device=x.device)

        def modulation(layer: int) -> Modulation:
            block = self.blocks[layer]
            assert isinstance(block, Block)
            assert block.modulation is not None
            modulations = rearrange(
                block.modulation(time), "b (kinds vectors d) -> vectors b kinds d", vectors=6, d=self.width
            )
            modulations = modulations.repeat_interleave(lengths, dim=2) if modulations.shape[2] > 1 else modulations
            gate1, gate2, shift1, scale1, shift2, scale2 = modulations
            return Modulation(shift1, scale1, gate1, shift2, scale2, gate2)

        y = self.blocks(y, Context(modulation=modulation))[:, : patches.shape[1]]
        shift, scale = self.modulation(time)[:, None].chunk(2, dim=-1)
        y = modulate(functional.layer_norm(y, (self.width,)), shift, scale)
        return self.patches.unpatch(self.project(y))

    def sample(self, noise: Latents, registers: Registers, steps: int, guide: Guide | None = None) -> Latents:
        """The latents that noise flows to in ``steps`` strides of Euler's rule; without a guide the decoder's own
        velocity is followed, at half the cost."""
        dropped = torch.arange(2 * len(noise), device=noise.device) >= len(noise)
        both = None if guide is None else self.without(registers.repeat(2, 1, 1), dropped)

        def velocity(x: Tensor, t: float) -> Tensor:
            if guide is None or both is None:
                return self(x, x.new_full((len(x),), t), registers).float()
            conditional, free = self(x.repeat(2, 1, 1), x.new_full((2 * len(x),), t), both).float().chunk(2)
            return guide(conditional, free)

        return euler(velocity, noise, euler_times(steps))

"""Several latents as one token: a quarter of the tokens makes a generator about twice as fast (MAR's patch size)."""

from __future__ import annotations

from einops import rearrange
from jaxtyping import Float
from torch import Tensor


def fold(latents: Float[Tensor, "b n c"], grid: int, patch: int) -> Float[Tensor, "b m d"]:
    """``[b, grid * grid, c]`` to ``[b, (grid / patch)^2, c * patch^2]``, channel slowest within a token."""
    shape = {"h": grid // patch, "w": grid // patch, "p": patch, "q": patch}
    return rearrange(latents, "b (h p w q) c -> b (h w) (c p q)", **shape)


def unfold(tokens: Float[Tensor, "b m d"], grid: int, patch: int) -> Float[Tensor, "b n c"]:
    """The inverse of `fold`."""
    shape = {"h": grid // patch, "w": grid // patch, "p": patch, "q": patch}
    return rearrange(tokens, "b (h w) (c p q) -> b (h p w q) c", **shape)

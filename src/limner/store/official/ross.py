"""ROSS as its authors released it: sizes of its denoiser, and the way from the names of its weights to ours.

Wang et al., arXiv:2410.09575, code and weights at github.com/Haochen-Wang409/ross. Beside a LLaVA it holds what its
training alone needs: the denoiser, under ``mm_inv_projector``, and the frozen autoencoder of FLUX.1, under
``pixel_decoder`` with the names of the diffusers library. This fills the two::

    denoising = limner.load("mm_inv_projector.bin")
    tokenizer = official_tokenizer(VAE)
    fill(tokenizer, prepare_tokenizer(state), TOKENIZER_NAMES)
    loss = Reconstruction(FoldedLatents(tokenizer, VAE.channels, slots), denoising)(hidden, image, has_picture, rng)

Every official tensor has one of ours of the same shape, but for ``x_embedder``, a convolution of one cell there, and
the linear maps of the autoencoder's attention, convolutions of one cell here. The blocks of the released denoisers are
modulated; the summed ones of ``denoiser_vit`` were trained by nobody, and their ``pos_embed`` is read by nothing.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import torch
from torch import Tensor

from limner.store.release import Release, State, depth_of
from limner.tokenizers.kl import GROUPS, KlAutoencoder
from limner.types import Size
from limner.unified.denoiser import TokenDenoiser
from limner.unified.reconstruction import Denoising

HEADS = 16  # of every denoiser of the official code


@dataclass(frozen=True, kw_only=True)
class RossSizes:
    """How large a denoiser is: ``channels`` of folded latents on ``grid`` x ``grid`` cells, ``context`` channels of the
    language model; ``steps`` of the reverse process."""

    context: int
    grid: int
    width: int = 1024
    depth: int = 3
    channels: int = 64
    heads: int = HEADS
    hidden: int | None = None
    steps: int = 1000
    draws: int = 4
    modulated: bool = True
    learned_variance: bool = False


# Qwen2-7B with SigLIP-so400m at 384 pixels and CLIP-L at 336; the latter with Vicuna-7B (README of the official code).
ROSS_QWEN2_SIGLIP = RossSizes(context=3584, grid=27)
ROSS_QWEN2_CLIP = RossSizes(context=3584, grid=24)
ROSS_VICUNA_CLIP = RossSizes(context=4096, grid=24)


@dataclass(frozen=True, kw_only=True)
class VaeSizes:
    """How large the autoencoder is; the defaults are FLUX.1's, for pictures of ``size`` pixels: twice 8 per token."""

    size: Size = 432
    width: int = 128
    multipliers: tuple[int, ...] = (1, 2, 4, 4)
    depth: int = 2
    channels: int = 16
    scale: float = 0.3611
    shift: float = 0.1159
    groups: int = GROUPS


VAE = VaeSizes()


def official_denoising(sizes: RossSizes) -> Denoising:
    """A denoiser of these sizes, freshly initialised, that draws as the authors' does."""
    network = TokenDenoiser(
        sizes.channels,
        sizes.context,
        sizes.grid,
        width=sizes.width,
        depth=sizes.depth,
        heads=sizes.heads,
        hidden=sizes.hidden,
        modulated=sizes.modulated,
        learned_variance=sizes.learned_variance,
    )
    return Denoising(
        sizes.context,
        network,
        draws=sizes.draws,
        steps=sizes.steps,
        solver=None,
        learned_norm=not sizes.modulated,
    )


def official_tokenizer(sizes: VaeSizes = VAE) -> KlAutoencoder:
    """The frozen autoencoder of these sizes, freshly initialised."""
    tokenizer = KlAutoencoder(
        size=sizes.size,
        width=sizes.width,
        multipliers=sizes.multipliers,
        channels=sizes.channels,
        depth=sizes.depth,
        groups=sizes.groups,
        scale=sizes.scale,
    )
    tokenizer.quantizer.scale.mean.fill_(sizes.shift)
    return tokenizer


def prepare(state: State) -> dict[str, Tensor]:
    """The denoiser's tensors, or gradients of them, as ours lie; all else as it is."""
    prepared = {key.rpartition("mm_inv_projector.")[2]: value for key, value in state.items()}
    if (weight := prepared.get(INPUT)) is not None:
        prepared[INPUT] = weight.flatten(1)
    return prepared


def prepare_tokenizer(state: State) -> dict[str, Tensor]:
    """The autoencoder's tensors as ours lie: levels of both halves are numbered from the finest, and beside the latents
    are convolutions, which do nothing here."""
    prepared = from_finest({key.rpartition(PIXELS)[2]: value for key, value in state.items() if PIXELS in key})
    for half, channels in (("encoder.conv_out", 0), ("decoder.conv_in", 1)):
        if (weight := prepared.get(f"{half}.weight")) is not None:
            beside, count = f"{half.partition('.')[0]}.beside_latents", weight.shape[channels]
            prepared |= {f"{beside}.weight": torch.eye(count)[..., None, None], f"{beside}.bias": torch.zeros(count)}
    return prepared


def from_finest(state: State, prefix: str = "") -> dict[str, Tensor]:
    """An autoencoder of the diffusers library with the levels of its decoder numbered from the finest, and attention as
    convolutions; its names begin with ``prefix``."""
    up = f"{prefix}{UP}."
    last = depth_of(state, up.removesuffix(".")) - 1
    level = re.compile(rf"(?<=^{re.escape(up)})\d+")
    attention = f"{prefix}encoder.mid_block.attentions.0.to_", f"{prefix}decoder.mid_block.attentions.0.to_"
    return {
        level.sub(lambda found: str(last - int(found[0])), key): value[..., None, None]
        if key.startswith(attention) and value.ndim == 2
        else value
        for key, value in state.items()
    }


def sizes_of(state: State) -> RossSizes:
    """The sizes of a prepared state dict. Summed blocks tell the grid by a ``pos_embed`` that they never read."""
    width, context = state["net.z_embedder.1.weight"].shape
    channels, answer = state[INPUT].shape[1], state["net.final_layer.linear.weight"].shape[0]
    modulated = "net.pos_embed" in state
    return RossSizes(
        context=context,
        grid=math.isqrt(state["net.pos_embed" if modulated else "pos_embed"].shape[1]),
        width=width,
        depth=depth_of(state, "net.blocks"),
        channels=channels,
        hidden=state["net.blocks.0.mlp.fc1.weight"].shape[0],
        modulated=modulated,
        learned_variance=answer == 2 * channels,
    )


INPUT, PIXELS, UP = "net.x_embedder.proj.weight", "pixel_decoder.", "decoder.up_blocks"
SKIPPED = r"^(?!net\.|ln_pre\.)"
# Our name (a pattern of its beginning or end) and theirs; all that fit are applied, one after the other.
NAMES = (
    (r"^norm\.", "ln_pre."),
    (r"^network\.input\b", "net.x_embedder.proj"),
    (r"^network\.time\.fc1\b", "net.t_embedder.mlp.0"),
    (r"^network\.time\.fc2\b", "net.t_embedder.mlp.2"),
    (r"^network\.context\b", "net.z_embedder.1"),
    (r"^network\.position$", "net.pos_embed"),
    (r"^network\.output\b", "net.final_layer.linear"),
    (r"^network\.modulation\b", "net.final_layer.adaLN_modulation.1"),
    (r"^network\.", "net."),
    (r"\.modulation\b", ".adaLN_modulation.1"),
)
TOKENIZER_NAMES = (
    (r"^encoder\.moments\b", "encoder.beside_latents"),
    (r"^decoder\.latents\b", "decoder.beside_latents"),
    (r"\.first\.", ".conv_in."),
    (r"^(encoder|decoder)\.norm\.", r"\1.conv_norm_out."),
    (r"^(encoder|decoder)\.last\.", r"\1.conv_out."),
    (r"\.middle\.0\.", ".mid_block.resnets.0."),
    (r"\.middle\.1\.norm\.", ".mid_block.attentions.0.group_norm."),
    (r"\.middle\.1\.query\.", ".mid_block.attentions.0.to_q."),
    (r"\.middle\.1\.key\.", ".mid_block.attentions.0.to_k."),
    (r"\.middle\.1\.value\.", ".mid_block.attentions.0.to_v."),
    (r"\.middle\.1\.output\.", ".mid_block.attentions.0.to_out.0."),
    (r"\.middle\.2\.", ".mid_block.resnets.1."),
    (r"^encoder\.levels\.(\d+)\.resize\b", r"encoder.down_blocks.\1.downsamplers.0"),
    (r"^encoder\.levels\.(\d+)\.blocks\.", r"encoder.down_blocks.\1.resnets."),
    (r"^decoder\.levels\.(\d+)\.resize\b", r"decoder.up_blocks.\1.upsamplers.0"),
    (r"^decoder\.levels\.(\d+)\.blocks\.", r"decoder.up_blocks.\1.resnets."),
    (r"\.shortcut\.", ".conv_shortcut."),
)

RELEASES: tuple[Release, ...] = (
    Release(
        system="ross-d",
        kind="denoiser",
        signature=(
            "*net.z_embedder.1.weight",
            "*net.final_layer.adaLN_modulation.1.weight",
            "*net.x_embedder.proj.weight",
        ),
        build=lambda state: official_denoising(sizes_of(state)),
        names=NAMES,
        skip=SKIPPED,
        prepare=prepare,
    ),
)

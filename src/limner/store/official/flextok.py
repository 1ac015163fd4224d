"""FlexTok as its authors released it: sizes, and the way from the names of their weights to ours.

Bachmann et al., arXiv:2502.13967, code at github.com/apple/ml-flextok. Widths and depths stand in shapes; heads, levels
and scales stand in the graph that is written beside the weights, in a ``config.json`` or inside the file. Released as
``EPFL-VILAB/flextok_d12_d12_in1k``, ``..._d18_d18_in1k``, ``..._d18_d28_in1k`` and ``..._d18_d28_dfn``::

    tokenizer = limner.load("flextok_d18_d28_dfn/model.safetensors")

The autoencoder is that of latent diffusion, under the names of the diffusers library. Every official tensor has one of
ours of the same shape.
"""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from limner.errors import CheckpointError
from limner.store.official import ross
from limner.store.release import Release, State, depth_of
from limner.tokenizers.flextok import FlexTok
from limner.tokenizers.flow_decoder import FlowDecoder
from limner.tokenizers.kl import GROUPS, KlAutoencoder
from limner.tokenizers.quantizers.scalar import FiniteScalarQuantizer
from limner.tokenizers.registers import RegisterEncoder

ENCODER, DECODER, VAE = "encoder.module_dict.", "decoder.module_dict.", "vae.vae."
GRAPH = "graph"  # the key of what is written beside the weights, as the bytes of JSON


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large a FlexTok is; ``latents`` rows and columns of its latents, ``scale`` what they are multiplied by, and
    ``multipliers``, ``vae_width``, ``vae_depth`` and ``groups`` of the autoencoder."""

    latents: tuple[int, int]
    patch: int
    count: int
    levels: tuple[int, ...]
    widths: tuple[int, int]
    depths: tuple[int, int]
    heads: tuple[int, int]
    hidden: tuple[int, int]
    kinds: int
    frequency: float
    channels: int
    scale: float
    vae_width: int
    multipliers: tuple[int, ...]
    vae_depth: int
    groups: int = GROUPS


def official_tokenizer(sizes: Sizes) -> FlexTok:
    """A FlexTok of these sizes, freshly initialised."""
    rows, columns = sizes.latents
    stride = 2 ** (len(sizes.multipliers) - 1)
    base = KlAutoencoder(
        size=(rows * stride, columns * stride) if rows != columns else rows * stride,
        width=sizes.vae_width,
        multipliers=sizes.multipliers,
        channels=sizes.channels,
        depth=sizes.vae_depth,
        groups=sizes.groups,
        scale=sizes.scale,
    )
    quantizer = FiniteScalarQuantizer(sizes.levels)
    widths, depths, heads, hidden = sizes.widths, sizes.depths, sizes.heads, sizes.hidden
    encoder = RegisterEncoder(
        grid=sizes.latents,
        channels=sizes.channels,
        patch=sizes.patch,
        count=sizes.count,
        features=quantizer.features,
        width=widths[0],
        depth=depths[0],
        heads=heads[0],
        hidden=hidden[0],
    )
    decoder = FlowDecoder(
        grid=sizes.latents,
        channels=sizes.channels,
        patch=sizes.patch,
        count=sizes.count,
        codes=quantizer.channels,
        width=widths[1],
        depth=depths[1],
        heads=heads[1],
        hidden=hidden[1],
        kinds=sizes.kinds,
        frequency=sizes.frequency,
    )
    return FlexTok(base, encoder, quantizer, decoder)


def sizes_of(state: State) -> Sizes:
    """Sizes from the shapes of a prepared state dict and from the graph with it; raises `CheckpointError` if there is
    none, or if it lacks what shapes do not tell."""
    if GRAPH not in state:
        raise CheckpointError(
            "nothing beside the weights says how FlexTok was built: put its config.json in the folder"
        )
    graph = json.loads(bytes(state[GRAPH].numpy()))
    patches, registers = state[f"{ENCODER}enc_patch_emb.patch_proj.weight"], f"{ENCODER}enc_register_module.registers"
    channels = len(state[f"{VAE}post_quant_conv.weight"])
    patch = math.isqrt(patches.shape[1] // channels)
    rows, columns = state[f"{ENCODER}enc_posemb_module.posembs"].shape[-2:]
    stacks = f"{ENCODER}enc_transformer.blocks", f"{DECODER}dec_transformer.blocks"
    widths = len(patches), len(state[f"{DECODER}dec_noise_patch_emb.patch_proj.weight"])
    try:
        nodes = graph["encoder"]["module_dict"], graph["decoder"]["module_dict"]
        head_dims = nodes[0]["enc_transformer"].get("head_dim", 64), nodes[1]["dec_transformer"].get("head_dim", 64)
        levels, scale = tuple(graph["regularizer"]["levels"]), float(graph["vae"]["scaling_factor"])
        longest = float(nodes[1]["dec_time_embedder"].get("max_timestep", 1000.0))
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"the graph beside the weights of FlexTok lacks {error}: download it again") from None
    vae = [len(state[f"{VAE}encoder.down_blocks.{i}.resnets.0.conv2.weight"]) for i in range(_levels(state))]
    first = len(state[f"{VAE}encoder.conv_in.weight"])
    return Sizes(
        latents=(rows * patch, columns * patch),
        patch=patch,
        count=len(state[registers]),
        levels=levels,
        widths=widths,
        depths=(depth_of(state, stacks[0]), depth_of(state, stacks[1])),
        heads=(widths[0] // head_dims[0], widths[1] // head_dims[1]),
        hidden=(len(state[f"{stacks[0]}.0.mlp.fc1.weight"]), len(state[f"{stacks[1]}.0.mlp.fc1.weight"])),
        kinds=len(state[f"{stacks[1]}.0.adaLN_modulation.1.weight"]) // (6 * widths[1]),
        frequency=1000.0 / longest,
        channels=channels,
        scale=scale,
        vae_width=first,
        multipliers=tuple(width // first for width in vae),
        vae_depth=depth_of(state, f"{VAE}encoder.down_blocks.0.resnets"),
    )


def _levels(state: State) -> int:
    return depth_of(state, f"{VAE}encoder.down_blocks")


def prepare(state: State) -> dict[str, Tensor]:
    """The official tensors with the autoencoder's as ours lie."""
    return ross.from_finest(state, VAE)


def graph_beside(path: Path) -> dict[str, Tensor]:
    """The graph of a file of weights: the ``config.json`` in its folder, else what the file itself holds of it, as
    Python literals; nothing if there is none."""
    beside, graph = path.parent / "config.json", {}
    if beside.is_file():
        graph = json.loads(beside.read_text(encoding="utf-8"))
    elif path.suffix == ".safetensors":
        with safe_open(path, "pt") as file:
            graph = {key: ast.literal_eval(text) for key, text in (file.metadata() or {}).items() if text[:1] == "{"}
    return {GRAPH: as_tensor(graph)} if "decoder" in graph else {}


def as_tensor(graph: Mapping[str, Any]) -> Tensor:
    """A graph as it lies among weights: the bytes of its JSON."""
    return torch.frombuffer(bytearray(json.dumps(graph).encode()), dtype=torch.uint8)


def _of_autoencoder(ours: str, theirs: str) -> tuple[str, str]:
    """A name of the autoencoder as a part of this model."""
    return (rf"^base\.{ours[1:]}", f"base.{theirs}") if ours.startswith("^") else (ours, theirs)


# Our name (a pattern of its beginning or end) and theirs; all that fit are applied, one after the other.
NAMES = (
    (r"^base\.encoder\.moments\b", f"{VAE}quant_conv"),
    (r"^base\.decoder\.latents\b", f"{VAE}post_quant_conv"),
    *(_of_autoencoder(*names) for names in ross.TOKENIZER_NAMES),
    (r"^base\.", VAE),
    (r"^encoder\.patches\.project\b", f"{ENCODER}enc_patch_emb.patch_proj"),
    (r"^encoder\.patches\.position$", f"{ENCODER}enc_posemb_module.posembs"),
    (r"^encoder\.registers$", f"{ENCODER}enc_register_module.registers"),
    (r"^encoder\.blocks\.", f"{ENCODER}enc_transformer.blocks."),
    (r"^encoder\.project\b", f"{ENCODER}enc_to_latents.proj"),
    (r"^decoder\.embed\b", f"{DECODER}dec_from_latents.proj"),
    (r"^decoder\.position$", f"{DECODER}dec_registers_posemb_module.posembs"),
    (r"^decoder\.mask$", f"{DECODER}dec_nested_dropout.dropout_mask_token"),
    (r"^decoder\.nothing$", f"{DECODER}dec_latent_dropout.nullcond"),
    (r"^decoder\.patches\.project\b", f"{DECODER}dec_noise_patch_emb.patch_proj"),
    (r"^decoder\.patches\.position$", f"{DECODER}dec_patches_posemb_module.posembs"),
    (r"^decoder\.time\.fc1\b", f"{DECODER}dec_time_embedder.mlp.0"),
    (r"^decoder\.time\.fc2\b", f"{DECODER}dec_time_embedder.mlp.2"),
    (r"^decoder\.blocks\.", f"{DECODER}dec_transformer.blocks."),
    (r"^decoder\.modulation\.", f"{DECODER}dec_to_patches.adaLN_modulation."),
    (r"^decoder\.project\b", f"{DECODER}dec_to_patches.proj"),
    (r"\.attn\.qkv\.query\.", ".attn.wq."),
    (r"\.attn\.qkv\.key\.", ".attn.wk."),
    (r"\.attn\.qkv\.value\.", ".attn.wv."),
    (r"\.mlp\.gate\.", ".mlp.fc1."),
    (r"\.mlp\.output\.", ".mlp.fc2."),
    (r"\.mlp\.value\.", ".mlp.fc3."),
    (r"(blocks\.\d+)\.modulation\.", r"\1.adaLN_modulation."),
)

RELEASES: tuple[Release, ...] = (
    Release(
        system="flextok",
        kind="tokenizer",
        signature=(
            f"{ENCODER}enc_register_module.registers",
            f"{DECODER}dec_nested_dropout.dropout_mask_token",
            f"{VAE}quant_conv.weight",
        ),
        build=lambda state: official_tokenizer(sizes_of(state)),
        names=NAMES,
        skip=rf"^{GRAPH}$",
        prepare=prepare,
        beside=graph_beside,
    ),
)

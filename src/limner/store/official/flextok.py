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
from limner.store.official.ross import VaeSizes
from limner.store.release import Release, State, depth_of
from limner.tokenizers.flextok import FlexTok
from limner.tokenizers.flow_decoder import FlowDecoder
from limner.tokenizers.quantizers.scalar import FiniteScalarQuantizer
from limner.tokenizers.registers import PatchGrid, RegisterEncoder, TransformerSizes

ENCODER, DECODER, VAE = "encoder.module_dict.", "decoder.module_dict.", "vae.vae."
GRAPH = "graph"  # the key of what is written beside the weights, as the bytes of JSON


@dataclass(frozen=True, kw_only=True)
class FlexTokSizes:
    """How large a FlexTok is: the autoencoder, its latents in patches, both transformers, ``count`` registers, the
    ``levels`` of a token's channels; for ``kinds`` and ``frequency`` see `limner.tokenizers.flow_decoder.FlowDecoder`.
    """

    vae: VaeSizes
    latents: PatchGrid
    encoder: TransformerSizes
    decoder: TransformerSizes
    count: int
    levels: tuple[int, ...]
    kinds: int
    frequency: float


def official_tokenizer(sizes: FlexTokSizes) -> FlexTok:
    """A FlexTok of these sizes, freshly initialised."""
    quantizer = FiniteScalarQuantizer(sizes.levels)
    return FlexTok(
        ross.official_tokenizer(sizes.vae),
        RegisterEncoder(sizes.latents, sizes.encoder, count=sizes.count, features=quantizer.features),
        quantizer,
        FlowDecoder(
            sizes.latents,
            sizes.decoder,
            count=sizes.count,
            codes=quantizer.channels,
            kinds=sizes.kinds,
            frequency=sizes.frequency,
        ),
    )


def sizes_of(state: State) -> FlexTokSizes:
    """Sizes from the shapes of a prepared state dict and from the graph with it; raises `CheckpointError` if there is
    none, or if it lacks what shapes do not tell."""
    if GRAPH not in state:
        raise CheckpointError(
            "nothing beside the weights says how FlexTok was built: put its config.json in the folder"
        )
    graph = json.loads(bytes(state[GRAPH].numpy()))
    try:
        encoder, decoder = (graph[half]["module_dict"] for half in ("encoder", "decoder"))
        levels, scale = tuple(graph["regularizer"]["levels"]), float(graph["vae"]["scaling_factor"])
        heads = encoder["enc_transformer"].get("head_dim", 64), decoder["dec_transformer"].get("head_dim", 64)
        longest = float(decoder["dec_time_embedder"].get("max_timestep", 1000.0))
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"the graph beside the weights of FlexTok lacks {error}: download it again") from None
    channels = len(state[f"{VAE}post_quant_conv.weight"])
    patch = math.isqrt(state[f"{ENCODER}enc_patch_emb.patch_proj.weight"].shape[1] // channels)
    rows, columns = (patch * edge for edge in state[f"{ENCODER}enc_posemb_module.posembs"].shape[-2:])
    second = transformer_of(state, f"{DECODER}dec_transformer.blocks", heads[1])
    return FlexTokSizes(
        vae=vae_of(state, (rows, columns), scale),
        latents=PatchGrid((rows, columns), channels, patch),
        encoder=transformer_of(state, f"{ENCODER}enc_transformer.blocks", heads[0]),
        decoder=second,
        count=len(state[f"{ENCODER}enc_register_module.registers"]),
        levels=levels,
        kinds=len(state[f"{DECODER}dec_transformer.blocks.0.adaLN_modulation.1.bias"]) // (6 * second.width),
        frequency=1000.0 / longest,
    )


def transformer_of(state: State, stack: str, head_dim: int) -> TransformerSizes:
    """Sizes of one half's transformer."""
    hidden, width = state[f"{stack}.0.mlp.fc1.weight"].shape
    return TransformerSizes(width, depth_of(state, stack), width // head_dim, hidden)


def vae_of(state: State, latents: tuple[int, int], scale: float) -> VaeSizes:
    """Sizes of the autoencoder."""
    down, first = f"{VAE}encoder.down_blocks", len(state[f"{VAE}encoder.conv_in.weight"])
    widths = [len(state[f"{down}.{i}.resnets.0.conv2.weight"]) for i in range(depth_of(state, down))]
    height, width = (edge * 2 ** (len(widths) - 1) for edge in latents)
    return VaeSizes(
        size=height if height == width else (height, width),
        width=first,
        multipliers=tuple(width // first for width in widths),
        depth=depth_of(state, f"{down}.0.resnets"),
        channels=len(state[f"{VAE}post_quant_conv.weight"]),
        scale=scale,
        shift=0.0,
    )


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

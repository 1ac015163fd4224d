"""Ovis as its authors released it: what sees, in four versions, and the way from the names of the weights to ours.

Lu et al., arXiv:2405.20797 and arXiv:2508.11737, code and weights at github.com/AIDC-AI/Ovis; Ovis 2 also as the
`transformers` library has it. A file holds a language model too, which is passed over: these are the encoder and the
visual vocabulary, which make vectors for it::

    eyes = limner.load("ovis2.safetensors")
    vectors = eyes(image)                 # then limner.unified.ovis_text places them in a text

    version   encoder                       stride   indicators
    1         CLIP, without class token     1        2, around every picture
    1.5, 1.6  SigLIP                        1 or 2   2 or 5
    2         AIMv2                         2        5
    2.5       SigLIP 2 of any size          2        4

All are read before the last norm of the encoder, but Ovis 2 of `transformers` after it: the same file of the authors
and its conversion give different vectors. Queries, keys and values lie apart there and are joined; the bias of
SigLIP's patches is part of its positions here. Pictures for CLIP and AIMv2 go through
`limner.store.official.superclass.official_pixels` first.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from limner.connectors.coefficients import Phi, Softmax
from limner.connectors.ovis import OvisConnector, neighbours
from limner.encoders.aimv2 import Aimv2
from limner.encoders.encoder import VisionEncoder
from limner.encoders.navit import NativeTransformer
from limner.encoders.vit import VisionTransformer
from limner.store.described import heads_of
from limner.store.release import Release, State, depth_of
from limner.types import Image


@dataclass(frozen=True, kw_only=True)
class OvisSizes:
    """How large the seeing part of an Ovis is: ``entries`` visual words beside the ``indicators``, vectors of ``words``
    channels, ``stride`` patches on a side of each; ``qkv_bias`` and ``mlp_bias`` of an AIMv2."""

    size: int
    patch: int
    width: int
    depth: int
    heads: int
    hidden: int
    entries: int
    words: int
    indicators: int
    stride: int = 1
    qkv_bias: bool = False
    mlp_bias: bool = False


# CLIP-L/14-336 before Llama3-8B (scripts/v1 of the official code); AIMv2-L/14-448 before Qwen2.5-0.5B (README of Ovis
# 2), with the visual vocabulary that Ovis 2.5's configuration has by default.
OVIS_1_8B = OvisSizes(
    size=336, patch=14, width=1024, depth=24, heads=16, hidden=4096, entries=131_070, words=4096, indicators=2
)
OVIS_2_1B = OvisSizes(
    size=448, patch=14, width=1024, depth=24, heads=8, hidden=2816, entries=65_531, words=896, indicators=5, stride=2
)


class Eyes(nn.Module):
    """An encoder and a visual vocabulary: a picture to vectors in the space of a language model's words."""

    def __init__(self, encoder: VisionEncoder, connector: OvisConnector) -> None:
        super().__init__()
        self.encoder, self.connector = encoder, connector

    def merged(self, image: Image) -> Float[Tensor, "b n m"]:
        """Patches, neighbours side by side."""
        return neighbours(self.encoder(image), self.connector.stride)

    def forward(self, image: Image) -> Float[Tensor, "b m d"]:
        return self.connector.embed(self.merged(image))


def quick_gelu(x: Tensor) -> Tensor:
    """``x sigmoid(1.702 x)``, the activation of OpenAI's CLIP (arXiv:1606.08415, Section 2)."""
    return x * torch.sigmoid(1.702 * x)


def clip(sizes: OvisSizes) -> VisionEncoder:
    """CLIP's tower without its last norm."""
    return _vit(sizes, class_token=True, norm_first=True, activation=quick_gelu, eps=1e-5)


def siglip(sizes: OvisSizes) -> VisionEncoder:
    """SigLIP's tower without its last norm."""
    tanh_gelu = partial(functional.gelu, approximate="tanh")
    return _vit(sizes, class_token=False, norm_first=False, activation=tanh_gelu, eps=1e-6)


def _vit(
    sizes: OvisSizes, *, class_token: bool, norm_first: bool, activation: Callable[[Tensor], Tensor], eps: float
) -> VisionEncoder:
    encoder = VisionTransformer(
        size=sizes.size,
        patch=sizes.patch,
        width=sizes.width,
        depth=sizes.depth,
        heads=sizes.heads,
        hidden=sizes.hidden,
        class_token=class_token,
        norm_first=norm_first,
        activation=activation,
        eps=eps,
    )
    encoder.norm = nn.Identity()  # type: ignore[assignment]
    return encoder


def aimv2(
    sizes: OvisSizes,
    *,
    normalised: bool = False,
    activation: Callable[[Tensor], Tensor] = functional.silu,
    eps: float = 1e-5,
) -> VisionEncoder:
    """AIMv2, before its last norm or after; no weights tell ``activation`` and ``eps``, which are those released."""
    return Aimv2(
        size=sizes.size,
        patch=sizes.patch,
        width=sizes.width,
        depth=sizes.depth,
        heads=sizes.heads,
        hidden=sizes.hidden,
        normalised=normalised,
        qkv_bias=sizes.qkv_bias,
        mlp_bias=sizes.mlp_bias,
        activation=activation,
        eps=eps,
    )


def navit(sizes: OvisSizes) -> VisionEncoder:
    """SigLIP 2 for pictures of any size."""
    return NativeTransformer(
        size=sizes.size,
        patch=sizes.patch,
        width=sizes.width,
        depth=sizes.depth,
        heads=sizes.heads,
        hidden=sizes.hidden,
    )


def official_eyes(sizes: OvisSizes, backbone: Callable[[OvisSizes], VisionEncoder], phi: Phi | None = None) -> Eyes:
    """The seeing part of these sizes, freshly initialised; ``phi`` as released is a softmax."""
    connector = OvisConnector(
        sizes.width,
        sizes.entries,
        sizes.words,
        phi or Softmax(learned=False),
        stride=sizes.stride,
        indicators=sizes.indicators,
        framed=sizes.indicators == 2,
    )
    return Eyes(backbone(sizes), connector)


# Our name (a pattern of its beginning or end) and theirs; all that fit are applied, one after the other.
HEAD_NAMES = (
    (r"^connector\.table\b", "vte"),
    (r"^connector\.head\.output\b", "visual_tokenizer.head.0"),
    (r"^connector\.head\.norm\b", "visual_tokenizer.head.1"),
)
TOWER_NAMES = (
    (r"^encoder\.class_token$", "encoder.embeddings.class_embedding"),
    (r"^encoder\.embed\b", "encoder.embeddings.patch_embedding"),
    (r"^encoder\.position$", "encoder.embeddings.position_embedding.weight"),
    (r"^encoder\.norm_first\b", "encoder.pre_layrnorm"),
    (r"^encoder\.norm\b", "encoder.post_layernorm"),
    (r"^encoder\.blocks\.(\d+)\.norm(\d)\b", r"encoder.encoder.layers.\1.layer_norm\2"),
    (r"^encoder\.blocks\.(\d+)\.attn\.proj\b", r"encoder.encoder.layers.\1.self_attn.out_proj"),
    (r"^encoder\.blocks\.(\d+)\.attn\b", r"encoder.encoder.layers.\1.self_attn"),
    (r"^encoder\.blocks\b", "encoder.encoder.layers"),
    (r"^encoder\.", "visual_tokenizer.backbone."),
)
NATIVE_NAMES = (*TOWER_NAMES[:-1], (r"^encoder\.", "visual_tokenizer.vit."))
AIM_NAMES = (
    (r"^encoder\.embed\b", "encoder.preprocessor.patchifier.proj"),
    (r"^encoder\.norm_first\b", "encoder.preprocessor.patchifier.norm"),
    (r"^encoder\.position$", "encoder.preprocessor.pos_embed"),
    (r"\.norm(\d)\b", r".norm_\1"),
    (r"\.mlp\.gate\b", ".mlp.fc1"),
    (r"\.mlp\.output\b", ".mlp.fc2"),
    (r"\.mlp\.value\b", ".mlp.fc3"),
    (r"^encoder\.blocks\b", "encoder.trunk.blocks"),
    (r"^encoder\.", "visual_tokenizer.backbone."),
)
LIBRARY_NAMES = (
    (r"^connector\.table\b", "model.visual_embeddings_table"),
    (r"^connector\.head\.output\b", "model.vision_tower.head_linear"),
    (r"^connector\.head\.norm\b", "model.vision_tower.head_norm"),
    (r"^encoder\.embed\b", "encoder.embeddings.patch_embedding"),
    (r"^encoder\.norm_first\b", "encoder.embeddings.rms_norm"),
    (r"^encoder\.position$", "encoder.embeddings.position_embedding.weight"),
    (r"^encoder\.norm\b", "encoder.rms_norm"),
    (r"^encoder\.blocks\.(\d+)\.norm(\d)\b", r"encoder.encoder.layers.\1.rms_norm\2"),
    (r"^encoder\.blocks\.(\d+)\.attn\.proj\b", r"encoder.encoder.layers.\1.attention.out_proj"),
    (r"^encoder\.blocks\.(\d+)\.attn\b", r"encoder.encoder.layers.\1.attention"),
    (r"\.mlp\.gate\b", ".ffn.gate_proj"),
    (r"\.mlp\.output\b", ".ffn.down_proj"),
    (r"\.mlp\.value\b", ".ffn.up_proj"),
    (r"^encoder\.blocks\b", "encoder.encoder.layers"),
    (r"^encoder\.", "model.vision_tower.transformer."),
)
LANGUAGE = r"^(llm|wte|lm_head|model\.language_model)\."  # what speaks
SKIP = LANGUAGE + r"|\.post_layernorm\.|\.post_trunk_norm\.|\.backbone\.head\.|\.position_ids$"  # and what is not read


def joined(state: State) -> dict[str, Tensor]:
    """Queries, keys and values as one matrix, and names without the level that older versions of the library have."""
    found: dict[str, Tensor] = {}
    for key, value in state.items():
        if re.search(LANGUAGE, key):
            found[key] = value
            continue
        key = key.replace(".vision_model.", ".")
        if match := re.search(r"(.*)\.q_proj\.(weight|bias)$", key):
            parts = [state[_as_in(state, f"{match[1]}.{part}_proj.{match[2]}")] for part in "qkv"]
            found[f"{match[1]}.qkv.{match[2]}"] = torch.cat(parts)
        elif not re.search(r"\.[kv]_proj\.", key):
            found[key] = value
    return found


def _as_in(state: State, key: str) -> str:
    return key if key in state else re.sub(r"\.(backbone|vit)\.", r".\1.vision_model.", key)


def biased(state: State) -> dict[str, Tensor]:
    """As `joined`, and the bias of the patches among the positions."""
    found = joined(state)
    stem = "visual_tokenizer.backbone.embeddings."
    bias = found.pop(f"{stem}patch_embedding.bias")
    found[f"{stem}position_embedding.weight"] = found[f"{stem}position_embedding.weight"] + bias
    return found


def levelled(state: State) -> dict[str, Tensor]:
    """AIMv2's own code: positions without the axis of the batch."""
    position = "visual_tokenizer.backbone.preprocessor.pos_embed"
    return {**state, position: state[position][0]}


TOWER_HEADS = {768: 12, 1024: 16, 1152: 16, 1280: 16}  # CLIP and SigLIP B, L, so400m, CLIP H; no shape tells them
AIM_HEADS = {1024: 8, 1536: 12, 2048: 16, 3072: 24}  # AIMv2 L, H, 1B and 3B (arXiv:2411.14402, Table 1)


SEEING = ("backbone_config", "visual_tokenizer_config", "vit_config", "vision_config")  # of a config.json


def sizes_of(
    state: State, embed: str, position: str, blocks: str, hidden: str, heads: dict[int, int], head: str, table: str
) -> OvisSizes:
    """The sizes of a prepared state dict; the arguments after it are the names of what tells them, but ``heads``, which
    are those of published widths, see `heads_of`."""
    width, _, patch, _ = state[embed].shape
    entries, inputs = state[head].shape
    gated = heads is AIM_HEADS
    rows, words = state[table].shape
    depth = depth_of(state, blocks)
    return OvisSizes(
        size=math.isqrt(len(state[position])) * patch,
        patch=patch,
        width=width,
        depth=depth,
        heads=heads_of(state, width, heads, within=SEEING),
        hidden=len(state[f"{blocks}.0.{hidden}"]),
        entries=entries,
        words=words,
        indicators=rows - entries,
        stride=math.isqrt(inputs // width),
        qkv_bias=gated and any(key.startswith(f"{blocks}.0.") and key.endswith("qkv.bias") for key in state),
        mlp_bias=gated and f"{blocks}.0.{hidden.removesuffix('weight')}bias" in state,
    )


OWN = {"head": "visual_tokenizer.head.0.weight", "table": "vte.weight"}


def tower_sizes(state: State, stem: str = "visual_tokenizer.backbone") -> OvisSizes:
    """Of CLIP's or SigLIP's tower."""
    return sizes_of(
        state,
        embed=f"{stem}.embeddings.patch_embedding.weight",
        position=f"{stem}.embeddings.position_embedding.weight",
        blocks=f"{stem}.encoder.layers",
        hidden="mlp.fc1.weight",
        heads=TOWER_HEADS,
        **OWN,
    )


def aim_sizes(state: State) -> OvisSizes:
    """Of AIMv2 under its own names."""
    stem = "visual_tokenizer.backbone"
    return sizes_of(
        state,
        embed=f"{stem}.preprocessor.patchifier.proj.weight",
        position=f"{stem}.preprocessor.pos_embed",
        blocks=f"{stem}.trunk.blocks",
        hidden="mlp.fc1.weight",
        heads=AIM_HEADS,
        **OWN,
    )


def library_sizes(state: State) -> OvisSizes:
    """Of AIMv2 under the library's names."""
    stem = "model.vision_tower.transformer"
    return sizes_of(
        state,
        embed=f"{stem}.embeddings.patch_embedding.weight",
        position=f"{stem}.embeddings.position_embedding.weight",
        blocks=f"{stem}.encoder.layers",
        hidden="ffn.gate_proj.weight",
        heads=AIM_HEADS,
        head="model.vision_tower.head_linear.weight",
        table="model.visual_embeddings_table.weight",
    )


RELEASES = (
    Release(
        system="ovis",
        kind="Ovis 1 seeing part",
        signature=("visual_tokenizer.backbone.*embeddings.class_embedding", "visual_tokenizer.head.0.weight", "vte.*"),
        build=lambda state: official_eyes(tower_sizes(state), clip),
        names=(*HEAD_NAMES, *TOWER_NAMES),
        skip=SKIP,
        prepare=joined,
    ),
    Release(
        system="ovis",
        kind="Ovis 1.5 seeing part",
        signature=("visual_tokenizer.backbone.*patch_embedding.bias", "visual_tokenizer.head.0.weight", "vte.weight"),
        build=lambda state: official_eyes(tower_sizes(state), siglip),
        names=(*HEAD_NAMES, *TOWER_NAMES),
        skip=SKIP,
        prepare=biased,
    ),
    Release(
        system="ovis",
        kind="Ovis 2 seeing part",
        signature=("visual_tokenizer.backbone.preprocessor.pos_embed", "visual_tokenizer.head.0.weight", "vte.weight"),
        build=lambda state: official_eyes(aim_sizes(state), aimv2),
        names=(*HEAD_NAMES, *AIM_NAMES),
        skip=SKIP,
        prepare=levelled,
    ),
    Release(
        system="ovis",
        kind="Ovis 2.5 seeing part",
        signature=("visual_tokenizer.vit.*patch_embedding.bias", "visual_tokenizer.head.0.weight", "vte.weight"),
        build=lambda state: official_eyes(tower_sizes(state, "visual_tokenizer.vit"), navit),
        names=(*HEAD_NAMES, *NATIVE_NAMES),
        skip=LANGUAGE,
        prepare=joined,
    ),
    Release(
        system="ovis",
        kind="Ovis 2 seeing part, of transformers",
        signature=("model.vision_tower.head_linear.weight", "model.visual_embeddings_table.weight"),
        build=lambda state: official_eyes(library_sizes(state), partial(aimv2, normalised=True)),
        names=LIBRARY_NAMES,
        skip=LANGUAGE,
        prepare=joined,
    ),
)

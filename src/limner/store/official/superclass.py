"""SuperClass as its authors released it: their sizes, and the way from the names of their weights to ours.

Huang et al., Classification Done Right for Vision-Language Pre-Training, arXiv:2411.03313, code and weights at
github.com/x-cls/superclass. This is no recipe: it builds the encoder and classifier that `limner` trains with other
knobs, and fills them from a state dict of the official ``Classifier``::

    model = official_classifier(VIT_L_16).eval()
    fill(model, state, NAMES)
    patches = model.encoder(image)

Every official tensor has one of ours of the same shape. Their buffers ``cap_fq`` and ``num_samples`` are our
``frequency.counts`` and ``frequency.steps``. Pictures are normalised there by CLIP's mean and deviation; ours are in
[-1, 1], so pictures for released weights go through `official_pixels` first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from limner.encoders.objectives.subword_set import SubwordFrequency
from limner.encoders.subwords import SubwordClassifier, SubwordHead
from limner.encoders.vit import VisionTransformer
from limner.errors import CheckpointError
from limner.store.described import heads_of
from limner.store.release import Release, State, depth_of
from limner.types import Image


@dataclass(frozen=True, kw_only=True)
class SuperClassSizes:
    """How large a SuperClass is; ``hidden`` channels of the encoder's MLPs, ``head_depth`` residual MLPs of
    ``head_hidden`` channels before the classifier."""

    width: int
    depth: int
    patch: int
    heads: int
    hidden: int
    size: int = 224
    vocabulary: int = 49408
    head_depth: int = 0
    head_hidden: int | None = None


# Model configurations CLS-ViT-B-16, L-16 and L-14 of the official code (Table 1 of the paper).
VIT_B_16 = SuperClassSizes(width=768, depth=12, patch=16, heads=12, hidden=3072)
VIT_L_16 = SuperClassSizes(width=1024, depth=24, patch=16, heads=16, hidden=4096)
VIT_L_14 = SuperClassSizes(width=1024, depth=24, patch=14, heads=16, hidden=4096)

HEADS = {sizes.width: sizes.heads for sizes in (VIT_B_16, VIT_L_16)}  # by width, which no shape tells
MEAN = (0.48145466, 0.4578275, 0.40821073)  # of CLIP's pixels in [0, 1], as the official code's constants have them
DEVIATION = (0.26862954, 0.26130258, 0.27577711)


def official_classifier(sizes: SuperClassSizes, drop: tuple[int, ...] = ()) -> SubwordClassifier:
    """A SuperClass of these sizes, freshly initialised; ``drop``: ids to take out of the set, the authors' takes out
    none."""
    encoder = VisionTransformer(
        size=sizes.size,
        patch=sizes.patch,
        width=sizes.width,
        depth=sizes.depth,
        heads=sizes.heads,
        hidden=sizes.hidden,
        class_token=True,
    )
    head = SubwordHead(sizes.width, sizes.vocabulary, depth=sizes.head_depth, hidden=sizes.head_hidden)
    return SubwordClassifier(encoder, head, SubwordFrequency(sizes.vocabulary, drop))


def official_pixels(image: Image) -> Image:
    """Pictures in [-1, 1] normalised as the released weights expect."""
    mean, deviation = (torch.tensor(values, device=image.device)[:, None, None] for values in (MEAN, DEVIATION))
    return ((image + 1) / 2 - mean) / deviation


def sizes_of(state: State) -> SuperClassSizes:
    """The sizes that the shapes of a state dict tell, with heads as `heads_of` has them; raises
    `CheckpointError` where they tell none."""
    width, _, patch, _ = state["visual.conv1.weight"].shape
    tokens, depth = len(state["visual.positional_embedding"]), depth_of(state, "visual.transformer.resblocks")
    grid = math.isqrt(tokens - 1)
    if grid**2 + 1 != tokens or not depth:
        raise CheckpointError(
            f"{tokens} positions and {depth} blocks make no SuperClass: give a file of its official weights"
        )
    head_depth = depth_of(state, "text_decoder.mlps")
    return SuperClassSizes(
        width=width,
        depth=depth,
        patch=patch,
        size=grid * patch,
        heads=heads_of(state, width, HEADS),
        hidden=len(state["visual.transformer.resblocks.0.mlp.c_fc.weight"]),
        vocabulary=len(state["text_decoder.text_projection.weight"]),
        head_depth=head_depth,
        head_hidden=len(state["text_decoder.mlps.0.c_fc.weight"]) if head_depth else None,
    )


# Our name (a pattern of its beginning or end) and theirs; all that fit are applied, one after the other.
NAMES = (
    (r"^frequency\.counts$", "cap_fq"),
    (r"^frequency\.steps$", "num_samples"),
    (r"^head\.blocks\.(\d+)\.norm\b", r"text_decoder.mlps.\1.c_norm"),
    (r"^head\.blocks\.(\d+)\.mlp\.fc1\b", r"text_decoder.mlps.\1.c_fc"),
    (r"^head\.blocks\.(\d+)\.mlp\.fc2\b", r"text_decoder.mlps.\1.c_proj"),
    (r"^head\.norm\b", "text_decoder.ln_mlp"),
    (r"^head\.output\b", "text_decoder.text_projection"),
    (r"^encoder\.embed\b", "visual.conv1"),
    (r"^encoder\.class_token$", "visual.class_embedding"),
    (r"^encoder\.position$", "visual.positional_embedding"),
    (r"^encoder\.norm_first\b", "visual.ln_pre"),
    (r"^encoder\.norm\b", "visual.ln_post"),
    (r"^encoder\.blocks\.", "visual.transformer.resblocks."),
    (r"\.norm([12])\.", r".ln_\1."),
    (r"\.attn\.qkv\.", ".attn.in_proj_"),
    (r"\.attn\.proj\b", ".attn.out_proj"),
    (r"\.mlp\.fc1\b", ".mlp.c_fc"),
    (r"\.mlp\.fc2\b", ".mlp.c_proj"),
)

RELEASES: tuple[Release, ...] = (
    Release(
        system="superclass",
        kind="encoder",
        signature=("visual.class_embedding", "text_decoder.text_projection.weight", "cap_fq"),
        build=lambda state: official_classifier(sizes_of(state)),
        names=NAMES,
    ),
)

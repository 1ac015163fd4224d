"""MAR as its authors released it: their sizes, and the way from the names of their weights to ours.

Li et al., arXiv:2406.11838, code and weights at github.com/LTH14/mar. This is no recipe: it builds the generator and
the KL-16 tokenizer that `limner` trains with other knobs, and fills them from the official state dicts::

    model = limner.load("mar_base/checkpoint-last.pth", tokenizer="kl16.ckpt")
    model.draw(classes=[207], n=4, seed=0)

The arithmetic is the same and every official tensor has one of ours of the same shape; only names differ. Ours groups
them by role: ``z_proj`` embeds tokens, so it belongs to the head; ``class_emb`` and ``fake_latent`` make the condition,
whose one vector per class is repeated for all 64 buffer tokens; ``diffusion_pos_embed_learned`` tells the head where a
token lies, and is the backbone's last addition. In training, ours leaves out the dropout inside attention and between
the two layers of an MLP.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import nn

from limner.decode.decoder import Decoder
from limner.generators.backbones.masked import MaskedAutoencoder
from limner.generators.conditions import ClassCondition
from limner.generators.generator import Generator
from limner.generators.heads.diffusion import DiffusionHead
from limner.generators.heads.head import SamplingOptions
from limner.generators.orders import RandomMasked
from limner.store.described import HEADS as NAMES_OF_HEADS
from limner.store.described import heads_of
from limner.store.release import Draws, Names, Release, State, depth_of
from limner.tokenizers.kl import KlAutoencoder
from limner.types import Layout


@dataclass(frozen=True, kw_only=True)
class MarSizes:
    """How large a MAR is; the defaults are those of all released models at 256 pixels.

    ``count`` tokens of ``channels`` each; ``prefix`` buffer tokens hold one of ``classes``; ``steps`` says how many of
    the 1000 noise levels a draw visits, or which.
    """

    width: int
    encoder_depth: int
    decoder_depth: int
    heads: int
    head_width: int
    head_depth: int
    decoder_width: int | None = None
    decoder_heads: int | None = None
    count: int = 256
    channels: int = 16
    classes: int = 1000
    prefix: int = 64
    steps: int | tuple[int, ...] = 100
    draws: int = 4
    drop: float = 0.1
    dropout: float = 0.1
    least_masked: float = 0.7


# 208 M, 479 M and 943 M parameters (Table 4 of the paper); the head's sizes are those of the released weights.
MAR_BASE = MarSizes(width=768, encoder_depth=12, decoder_depth=12, heads=12, head_width=1024, head_depth=6)
MAR_LARGE = MarSizes(width=1024, encoder_depth=16, decoder_depth=16, heads=16, head_width=1280, head_depth=8)
MAR_HUGE = MarSizes(width=1280, encoder_depth=20, decoder_depth=20, heads=16, head_width=1536, head_depth=12)

LATENT_SCALE = 0.2325  # the official code multiplies latents by it, so that they have about unit variance
STABLE_DIFFUSION_SCALE = 0.18215  # that of the autoencoder of 4 channels that ACDiT draws with (arXiv:2112.10752)


def official_generator(sizes: MarSizes) -> Generator:
    """A MAR of these sizes, freshly initialised."""
    head = DiffusionHead(
        sizes.channels,
        sizes.decoder_width or sizes.width,
        width=sizes.head_width,
        depth=sizes.head_depth,
        draws=sizes.draws,
        steps=sizes.steps,
    )
    head.embed = nn.Linear(sizes.channels, sizes.width)  # what the encoder reads, which may be wider than the decoder
    backbone = MaskedAutoencoder(
        count=sizes.count,
        prefix=sizes.prefix,
        width=sizes.width,
        encoder_depth=sizes.encoder_depth,
        decoder_depth=sizes.decoder_depth,
        heads=sizes.heads,
        dropout=sizes.dropout,
        decoder_width=sizes.decoder_width,
        decoder_heads=sizes.decoder_heads,
    )
    return Generator(
        layout=Layout(((sizes.count,),)),
        order=RandomMasked(least=sizes.least_masked),
        backbone=backbone,
        head=head,
        condition=ClassCondition(sizes.classes, sizes.width, sizes.prefix),
        drop=sizes.drop,
    )


def official_tokenizer(size: int = 256) -> KlAutoencoder:
    """The KL-16 autoencoder for pictures of ``size`` pixels, freshly initialised: 16 channels per cell of 16 pixels."""
    return KlAutoencoder(
        size=size, width=128, multipliers=(1, 1, 2, 2, 4), channels=16, attention=(4,), scale=LATENT_SCALE
    )


# Our name (a pattern of its beginning or end) and theirs; all that fit are applied, one after the other.
GENERATOR_NAMES = (
    (r"^condition\.embedding\b", "class_emb"),
    (r"^condition\.nothing$", "fake_latent"),
    (r"^backbone\.(encoder|decoder)_position$", r"\1_pos_embed_learned"),
    (r"^backbone\.head_position$", "diffusion_pos_embed_learned"),
    (r"^backbone\.embedding_norm\b", "z_proj_ln"),
    (r"^backbone\.", ""),
    (r"^head\.embed\b", "z_proj"),
    (r"^head\.network\.time1\b", "diffloss.net.time_embed.mlp.0"),
    (r"^head\.network\.time2\b", "diffloss.net.time_embed.mlp.2"),
    (r"^head\.network\.context\b", "diffloss.net.cond_embed"),
    (r"^head\.network\.input\b", "diffloss.net.input_proj"),
    (r"^head\.network\.output\b", "diffloss.net.final_layer.linear"),
    (r"^head\.network\.modulation\b", "diffloss.net.final_layer.adaLN_modulation.1"),
    (r"^head\.network\.blocks\.(\d+)\.norm\b", r"diffloss.net.res_blocks.\1.in_ln"),
    (r"^head\.network\.blocks\.(\d+)\.fc1\b", r"diffloss.net.res_blocks.\1.mlp.0"),
    (r"^head\.network\.blocks\.(\d+)\.fc2\b", r"diffloss.net.res_blocks.\1.mlp.2"),
    (r"^head\.network\.blocks\.(\d+)\.modulation\b", r"diffloss.net.res_blocks.\1.adaLN_modulation.1"),
)
# Of convolutional autoencoders that go back to Esser et al., arXiv:2012.09841.
CONVOLUTIONAL_NAMES: Names = (
    (r"\.first\.", ".conv_in."),
    (r"^(encoder|decoder)\.norm\.", r"\1.norm_out."),
    (r"^(encoder|decoder)\.last\.", r"\1.conv_out."),
    (r"\.shortcut\.", ".nin_shortcut."),
    (r"\.query\.", ".q."),
    (r"\.key\.", ".k."),
    (r"\.value\.", ".v."),
    (r"\.output\.", ".proj_out."),
    (r"^encoder\.moments\.", "quant_conv."),
    (r"^decoder\.latents\.", "post_quant_conv."),
)
TOKENIZER_NAMES = (
    (r"^encoder\.levels\.(\d+)\.resize\b", r"encoder.down.\1.downsample"),
    (r"^decoder\.levels\.(\d+)\.resize\b", r"decoder.up.\1.upsample"),
    (r"^encoder\.levels\.", "encoder.down."),
    (r"^decoder\.levels\.", "decoder.up."),
    (r"\.blocks\.(\d+)\.", r".block.\1."),
    (r"\.attentions\.(\d+)\.", r".attn.\1."),
    (r"\.middle\.0\.", ".mid.block_1."),
    (r"\.middle\.1\.", ".mid.attn_1."),
    (r"\.middle\.2\.", ".mid.block_2."),
    *CONVOLUTIONAL_NAMES,
)

HEADS = {768: 12, 1024: 16, 1280: 16}  # by width, which shapes do not tell
GUIDANCE = {768: 2.9, 1024: 3.0, 1280: 3.2}  # by width, as the README of the code evaluates
STEPS = 64  # the code's own number; its scores are of 256


def sizes_of(state: State) -> MarSizes:
    """The sizes of an official generator, with heads as `heads_of` has them."""
    width, decoder_width = state["z_proj.weight"].shape[0], state["decoder_embed.weight"].shape[0]
    blocks = {name: depth_of(state, name) for name in ("encoder_blocks", "decoder_blocks", "diffloss.net.res_blocks")}
    count = state["diffusion_pos_embed_learned"].shape[1]
    return MarSizes(
        width=width,
        encoder_depth=blocks["encoder_blocks"],
        decoder_depth=blocks["decoder_blocks"],
        heads=heads_of(state, width, HEADS, names=("encoder_num_heads", *NAMES_OF_HEADS)),
        decoder_width=decoder_width,
        decoder_heads=heads_of(state, decoder_width, HEADS, names=("decoder_num_heads", *NAMES_OF_HEADS)),
        head_width=state["diffloss.net.input_proj.weight"].shape[0],
        head_depth=blocks["diffloss.net.res_blocks"],
        count=count,
        channels=state["z_proj.weight"].shape[1],
        classes=state["class_emb.weight"].shape[0],
        prefix=state["encoder_pos_embed_learned"].shape[1] - count,
    )


def drawing(state: State) -> Callable[[Generator], Decoder]:
    """How the authors draw: guidance that grows with what is known, up to that of the model's width."""
    return partial(
        Decoder,
        options=SamplingOptions(guidance=GUIDANCE.get(state["z_proj.weight"].shape[0], GUIDANCE[1024])),
        steps=STEPS,
    )


def tokenizer_of(state: State, side: int = 16) -> KlAutoencoder:
    """The autoencoder of an official state dict, for ``side`` tokens on a side, which shapes do not tell."""
    width, levels = state["encoder.conv_in.weight"].shape[0], depth_of(state, "encoder.down")
    channels = state["post_quant_conv.weight"].shape[0]
    return KlAutoencoder(
        size=side * 2 ** (levels - 1),
        width=width,
        multipliers=[state[f"encoder.down.{i}.block.0.conv2.weight"].shape[0] // width for i in range(levels)],
        channels=channels,
        depth=depth_of(state, "encoder.down.0.block"),
        attention=[i for i in range(levels) if depth_of(state, f"encoder.down.{i}.attn")],
        scale=STABLE_DIFFUSION_SCALE if channels == 4 else LATENT_SCALE,
    )


RELEASES = (
    Release(
        system="mar",
        kind="generator",
        signature=("diffloss.net.input_proj.weight", "diffusion_pos_embed_learned", "fake_latent"),
        build=lambda state: official_generator(sizes_of(state)),
        names=GENERATOR_NAMES,
        draws=Draws(("mar",), drawing),
    ),
    Release(
        system="mar",
        kind="tokenizer",
        signature=(
            "encoder.mid.attn_1.q.weight",
            "quant_conv.weight",
            "post_quant_conv.weight",
            "decoder.conv_in.weight",
        ),
        build=tokenizer_of,
        names=TOKENIZER_NAMES,
        skip=r"^loss\.",
        sided=tokenizer_of,
    ),
)

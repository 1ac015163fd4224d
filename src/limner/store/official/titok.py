"""TiTok as its authors released it: all sizes, and the way from the names of their weights to ours.

Yu et al., arXiv:2406.07550, code at github.com/bytedance/1d-tokenizer. A name tells the encoder, then the decoder
(small, base, large; one letter where they are equal), then the number of tokens::

    tokenizer = official_tokenizer(TITOK_L32).eval()
    fill(tokenizer, state, NAMES)

The first three, of the paper, are trained in two stages and draw with the decoder of MaskGIT-VQGAN; their encoder
scrambles its outputs (see `LatentEncoder`), and codes are compared by direction. The later ones learn pixels at once.
Every official tensor has one of ours of the same shape.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from limner.store.described import heads_of
from limner.store.official import maskgit_vqgan
from limner.store.official.maskgit_vqgan import MASKGIT_VQGAN
from limner.store.release import Release, State, depth_of
from limner.tokenizers.maskgit_vqgan import MaskgitDecoder
from limner.tokenizers.oned import LatentEncoder, MaskDecoder, OneDTokenizer, PatchPixels, Vit
from limner.tokenizers.proxy import ProxyPixels
from limner.tokenizers.quantizers.continuous import Gaussian
from limner.tokenizers.quantizers.learned import LearnedCodebook
from limner.tokenizers.quantizers.quantizer import Quantizer

KL_WEIGHT = 1e-6  # of the KL summed over a picture's latents, against an error averaged over pixels in [0, 1]


@dataclass(frozen=True, kw_only=True)
class TiTokSizes:
    """How large a TiTok is.

    ``count`` tokens of ``channels`` each; ``entries`` rows of the codebook, None for a Gaussian posterior; ``proxy``
    is the tokenizer whose decoder draws, None where cells become pixels at once; ``scrambled`` and ``normalized`` are
    how the encoder reads its outputs and how codes are compared.
    """

    encoder: Vit
    decoder: Vit
    count: int
    channels: int
    entries: int | None
    proxy: maskgit_vqgan.MaskgitVqganSizes | None = None
    scrambled: bool = False
    normalized: bool = False
    commitment: float = 0.25
    size: int = 256


# The small, base and large of the official code; heads are of 64 channels.
SMALL, BASE, LARGE = Vit(512, 8, 8), Vit(768, 12, 12), Vit(1024, 24, 16)
HEADS = {vit.width: vit.heads for vit in (SMALL, BASE, LARGE)}  # by width, which shapes do not tell


def two_stage(vit: Vit, count: int) -> TiTokSizes:
    """A tokenizer of the paper: 4096 codes of 12 channels."""
    return TiTokSizes(
        encoder=vit,
        decoder=vit,
        count=count,
        channels=12,
        entries=4096,
        proxy=MASKGIT_VQGAN,
        scrambled=True,
        normalized=True,
    )


def discrete(encoder: Vit, decoder: Vit, count: int) -> TiTokSizes:
    """A later tokenizer to ids: 8192 codes of 64 channels."""
    return TiTokSizes(encoder=encoder, decoder=decoder, count=count, channels=64, entries=8192)


def continuous(encoder: Vit, decoder: Vit, count: int) -> TiTokSizes:
    """A later tokenizer to latents of 16 channels."""
    return TiTokSizes(encoder=encoder, decoder=decoder, count=count, channels=16, entries=None)


TITOK_L32, TITOK_B64, TITOK_S128 = two_stage(LARGE, 32), two_stage(BASE, 64), two_stage(SMALL, 128)
TITOK_BL64, TITOK_BL128 = discrete(BASE, LARGE, 64), discrete(BASE, LARGE, 128)
TITOK_SL256 = discrete(SMALL, LARGE, 256)
TITOK_LL32_VAE, TITOK_BL64_VAE = continuous(LARGE, LARGE, 32), continuous(BASE, LARGE, 64)
TITOK_BL128_VAE = continuous(BASE, LARGE, 128)


def official_tokenizer(sizes: TiTokSizes) -> OneDTokenizer:
    """A TiTok of these sizes, freshly initialised."""
    quantizer: Quantizer
    if sizes.entries is None:
        quantizer = Gaussian(sizes.channels, KL_WEIGHT * sizes.count * sizes.channels)
    else:
        quantizer = LearnedCodebook(
            sizes.entries, sizes.channels, commitment=sizes.commitment, normalize=sizes.normalized
        )
    encoder = LatentEncoder(
        sizes.encoder, size=sizes.size, count=sizes.count, features=quantizer.features, scrambled=sizes.scrambled
    )
    width, proxy = sizes.decoder.width, sizes.proxy
    if proxy is None:
        pixels: PatchPixels | ProxyPixels = PatchPixels(width, sizes.decoder.patch)
    else:
        widths = [proxy.width * multiplier for multiplier in proxy.multipliers]
        painter = MaskgitDecoder(widths, proxy.depth, proxy.channels)
        pixels = ProxyPixels(width, entries=proxy.entries, channels=proxy.channels, decoder=painter)
    decoder = MaskDecoder(sizes.decoder, size=sizes.size, count=sizes.count, channels=sizes.channels, pixels=pixels)
    return OneDTokenizer(encoder, quantizer, decoder, size=sizes.size)


def with_proxy(state: State, proxy: State) -> State:
    """The state dict of a first stage, which names codes only, with the released MaskGIT-VQGAN to draw them: what the
    second stage begins with."""
    drawing = {f"pixel_{key}": value for key, value in proxy.items() if not key.startswith("encoder.")}
    return {**state, **drawing}


def vit_of(state: State, part: str, size: int) -> Vit:
    """Sizes of one half for pictures of ``size`` pixels; with heads as `heads_of` has them."""
    cells, width = state[f"{part}.positional_embedding"].shape
    heads = heads_of(state, width, HEADS, names=(f"{part}_num_heads", f"{part}_heads", "num_heads"))
    return Vit(width, depth_of(state, f"{part}.transformer"), heads, size // math.isqrt(cells - 1))


def sizes_of(state: State) -> TiTokSizes:
    """The sizes of an official tokenizer."""
    patch, cells = state["encoder.patch_embed.weight"].shape[-1], len(state["encoder.positional_embedding"]) - 1
    size = patch * math.isqrt(cells)
    codebook = state.get("quantize.embedding.weight")
    staged = "pixel_decoder.conv_in.weight" in state
    return TiTokSizes(
        encoder=vit_of(state, "encoder", size),
        decoder=vit_of(state, "decoder", size),
        count=len(state["latent_tokens"]),
        channels=state["decoder.decoder_embed.weight"].shape[1],
        entries=None if codebook is None else len(codebook),
        proxy=maskgit_vqgan.sizes_of(state, size, prefix="pixel_") if staged else None,
        scrambled=staged,
        normalized=staged,
        size=size,
    )


# Our name (a pattern of its beginning or end) and theirs; all that fit are applied, one after the other.
TRUNK_NAMES = (
    (r"\.trunk\.position$", ".positional_embedding"),
    (r"\.trunk\.first_norm\b", ".ln_pre"),
    (r"\.trunk\.last_norm\b", ".ln_post"),
    (r"\.trunk\.blocks\.(\d+)\.norm(\d)\b", r".transformer.\1.ln_\2"),
    (r"\.trunk\.blocks\.(\d+)\.attn\.qkv\.", r".transformer.\1.attn.in_proj_"),
    (r"\.trunk\.blocks\.(\d+)\.attn\.proj\b", r".transformer.\1.attn.out_proj"),
    (r"\.trunk\.blocks\.(\d+)\.mlp\.fc1\b", r".transformer.\1.mlp.c_fc"),
    (r"\.trunk\.blocks\.(\d+)\.mlp\.fc2\b", r".transformer.\1.mlp.c_proj"),
)
NAMES = (
    (r"^encoder\.latents$", "latent_tokens"),
    (r"^encoder\.patches\b", "encoder.patch_embed"),
    (r"^encoder\.project\b", "encoder.conv_out"),
    (r"^decoder\.embed\b", "decoder.decoder_embed"),
    (r"^decoder\.mask$", "decoder.mask_token"),
    (r"\.trunk\.summary$", ".class_embedding"),
    *TRUNK_NAMES,
    (r"\.trunk\.latent_position$", ".latent_token_positional_embedding"),
    (r"^quantizer\.codebook$", "quantize.embedding.weight"),
    (r"^decoder\.pixels\.cells\b", "decoder.ffn.0"),
    (r"^decoder\.pixels\.last\b", "decoder.conv_out"),
    (r"^decoder\.pixels\.names\.", "decoder.ffn."),
    (r"^decoder\.pixels\.codebook$", "pixel_quantize.embedding.weight"),
    (r"^decoder\.pixels\.decoder\.", "pixel_decoder."),
    *maskgit_vqgan.DECODER_NAMES,
)

RELEASES: tuple[Release, ...] = (
    Release(
        system="titok",
        kind="tokenizer",
        signature=("latent_tokens", "decoder.mask_token", "decoder.ffn.2.weight", "pixel_decoder.conv_in.weight"),
        build=lambda state: official_tokenizer(sizes_of(state)),
        names=NAMES,
    ),
    Release(
        system="titok",
        kind="tokenizer",
        signature=("latent_tokens", "decoder.mask_token", "decoder.ffn.0.weight", "decoder.conv_out.weight"),
        build=lambda state: official_tokenizer(sizes_of(state)),
        names=NAMES,
    ),
)

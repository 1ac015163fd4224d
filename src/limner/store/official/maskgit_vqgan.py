"""The tokenizer of MaskGIT as bytedance/1d-tokenizer released it: sizes, and the way from its names to ours.

Chang et al., arXiv:2202.04200; weights converted to PyTorch by open-muse, released as
``maskgit-vqgan-imagenet-f16-256.bin``. RAR and MaskGIT draw with it; TiTok's first stage learns its codes, and the
second draws with its decoder. Every official tensor has one of ours of the same shape::

    tokenizer = official_tokenizer(MASKGIT_VQGAN).eval()
    fill(tokenizer, state, NAMES)
"""

from __future__ import annotations

from dataclasses import dataclass

from limner.errors import CheckpointError
from limner.store.release import Release, State, depth_of
from limner.tokenizers.maskgit_vqgan import MaskgitVqgan


@dataclass(frozen=True, kw_only=True)
class MaskgitVqganSizes:
    """How large a MaskGIT-VQGAN is; the defaults are those of the released one."""

    size: int = 256
    width: int = 128
    multipliers: tuple[int, ...] = (1, 1, 2, 2, 4)
    depth: int = 2
    channels: int = 256
    entries: int = 1024


MASKGIT_VQGAN = MaskgitVqganSizes()


def official_tokenizer(sizes: MaskgitVqganSizes = MASKGIT_VQGAN) -> MaskgitVqgan:
    """A MaskGIT-VQGAN of these sizes, freshly initialised."""
    return MaskgitVqgan(
        size=sizes.size,
        width=sizes.width,
        multipliers=sizes.multipliers,
        depth=sizes.depth,
        channels=sizes.channels,
        entries=sizes.entries,
    )


def sizes_of(state: State, size: int, *, prefix: str = "") -> MaskgitVqganSizes:
    """Sizes from the shapes of the decoder and the codebook, whose names may have a prefix; ``size`` in pixels no shape
    tells. Raises `CheckpointError` if there is no such decoder."""
    decoder = f"{prefix}decoder"
    depth, levels = depth_of(state, f"{decoder}.mid"), depth_of(state, f"{decoder}.up")
    if not depth or not levels:
        raise CheckpointError(f"the state has no blocks under {decoder}.mid and {decoder}.up: give a MaskGIT-VQGAN")
    widths = [state[f"{decoder}.up.{i}.block.0.conv1.weight"].shape[0] for i in range(levels)]
    entries, channels = state[f"{prefix}quantize.embedding.weight"].shape
    first = state.get("encoder.conv_in.weight") if not prefix else None  # of a decoder alone nothing hangs on it
    base = widths[0] if first is None else len(first)
    return MaskgitVqganSizes(
        size=size,
        width=base,
        multipliers=tuple(width // base for width in widths),
        depth=depth,
        channels=channels,
        entries=entries,
    )


def build(state: State) -> MaskgitVqgan:
    """The tokenizer of a state dict: 256 pixels, the one size that was released."""
    return official_tokenizer(sizes_of(state, MASKGIT_VQGAN.size))


# Our name (a pattern of its beginning or end) and theirs; all that fit are applied, one after the other.
DECODER_NAMES = (
    (r"\.levels\.(\d+)\.resize\.conv\b", r".up.\1.upsample_conv"),
    (r"\.levels\.", ".up."),
    (r"\.blocks\.", ".block."),
    (r"\.shortcut\b", ".nin_shortcut"),
    (r"\.middle\.", ".mid."),
    (r"\.first\.", ".conv_in."),
    (r"decoder\.norm\.", "decoder.norm_out."),
    (r"\.last\.", ".conv_out."),
)
NAMES = (
    (r"^quantizer\.codebook$", "quantize.embedding.weight"),
    (r"^encoder\.levels\.", "encoder.down."),
    (r"^encoder\.norm\.", "encoder.norm_out."),
    *DECODER_NAMES,
)

RELEASES: tuple[Release, ...] = (
    Release(
        system="maskgit-vqgan",
        kind="tokenizer",
        signature=(
            "encoder.down.0.block.0.conv1.weight",
            "decoder.up.1.upsample_conv.weight",
            "quantize.embedding.weight",
        ),
        build=build,
        names=NAMES,
        sided=lambda state, side: official_tokenizer(sizes_of(state, side * 2 ** (depth_of(state, "decoder.up") - 1))),
    ),
)

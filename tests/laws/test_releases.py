"""What is told from the weights alone: a model of any legal size, under its authors' names, is built as it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from limner.store.official import (
    acdit,
    llamagen,
    mar,
    maskgit,
    maskgit_vqgan,
    one_d_piece,
    ovis,
    rar,
    superclass,
    titok,
    var,
    xar,
)
from limner.store.release import Release, official_name
from limner.store.released import load_saved, recognise, releases

Make = Callable[[], tuple[Release, nn.Module, dict[str, Tensor]]]
"""A release, a model of it, and what its files hold besides parameters that tells of it."""


def llamagen_classes(
    side: int, classes: int, entries: int, hidden: int
) -> tuple[Release, nn.Module, dict[str, Tensor]]:
    sizes = llamagen.LlamaGenSizes(
        width=768, depth=1, heads=12, hidden=hidden, side=side, entries=entries, classes=classes
    )
    return llamagen.RELEASES[0], llamagen.official_generator(sizes), {"freqs_cis": torch.zeros(side**2 + 1, 32, 2)}


def llamagen_words(side: int, words: int, features: int) -> tuple[Release, nn.Module, dict[str, Tensor]]:
    sizes = llamagen.LlamaGenSizes(
        width=768, depth=1, heads=12, hidden=96, side=side, entries=24, classes=0, words=words, features=features
    )
    return llamagen.RELEASES[0], llamagen.official_generator(sizes), {"freqs_cis": torch.zeros(side**2 + words, 32, 2)}


def llamagen_tokenizer(width: int, multipliers: tuple[int, ...], hidden: int):
    sizes = llamagen.LlamaGenTokenizerSizes(multipliers=multipliers, width=width, hidden=hidden, entries=12, channels=6)
    return llamagen.RELEASES[1], llamagen.official_tokenizer(sizes), {}


def mar_generator(count: int, prefix: int, channels: int, head: tuple[int, int]):
    sizes = mar.MarSizes(
        width=768, encoder_depth=1, decoder_depth=2, heads=12, head_width=head[0], head_depth=head[1], count=count,
        channels=channels, classes=7, prefix=prefix,
    )  # fmt: skip
    return mar.RELEASES[0], mar.official_generator(sizes), {}


def maskgit_generator(release: int, count: int, hidden: int, entries: int):
    sizes = maskgit.MaskGitSizes(
        width=768, depth=3, hidden=hidden, count=count, entries=entries, classes=5, long_skips=bool(release)
    )
    return maskgit.RELEASES[release], maskgit.official_generator(sizes), {}


def vqgan(width: int, multipliers: tuple[int, ...], depth: int):
    sizes = maskgit_vqgan.MaskgitVqganSizes(width=width, multipliers=multipliers, depth=depth, channels=6, entries=10)
    return maskgit_vqgan.RELEASES[0], maskgit_vqgan.official_tokenizer(sizes), {}


def rar_generator(width: int, heads: int, hidden: int, count: int):
    sizes = rar.RarSizes(width=width, depth=2, heads=heads, hidden=hidden, count=count, entries=9, classes=4)
    return rar.RELEASES[0], rar.official_generator(sizes), {}


def superclass_model(width: int, hidden: int, patch: int, side: int, head_depth: int):
    sizes = superclass.SuperClassSizes(
        width=width, depth=2, patch=patch, heads=width // 64, hidden=hidden, size=patch * side, vocabulary=30,
        head_depth=head_depth, head_hidden=3 * width if head_depth else None,
    )  # fmt: skip
    return superclass.RELEASES[0], superclass.official_classifier(sizes), {}


def var_generator(width: int, heads: int, sides: tuple[int, ...], shared: bool):
    sizes = var.VarSizes(
        width=width, depth=2, heads=heads, shared=shared, sides=sides, entries=11, channels=6, classes=3
    )
    levels = torch.repeat_interleave(torch.arange(len(sides)), torch.tensor([side**2 for side in sides]))
    return var.RELEASES[1], var.official_generator(sizes), {"lvl_1L": levels[None]}


def var_tokenizer(width: int, multipliers: tuple[int, ...], phis: int):
    sizes = var.VarTokenizerSizes(width=width, multipliers=multipliers, phis=phis, entries=10, channels=8)
    counts = {"quantize.ema_vocab_hit_SV": torch.zeros(len(sizes.sides), sizes.entries)}
    return var.RELEASES[0], var.official_tokenizer(sizes), counts


def acdit_generator(width: int, heads: int):
    return acdit.RELEASES[0], acdit.official_generator(acdit.AcditSizes(width=width, depth=2, heads=heads)), {}


def xar_generator(grid: int, channels: int):
    sizes = xar.XarSizes(
        width=768, encoder_depth=1, decoder_depth=1, heads=12, grid=grid, cell=grid // xar.CELLS, channels=channels,
        classes=6,
    )  # fmt: skip
    return xar.RELEASES[0], xar.official_generator(sizes), {}


def titok_tokenizer(count: int, size: int, staged: bool, nested: bool = False):
    vit = titok.Vit(512, 1, 8)
    proxy = maskgit_vqgan.MaskgitVqganSizes(size=size, width=32, multipliers=(1, 1, 2, 1, 2), channels=6)
    sizes = titok.TiTokSizes(
        encoder=vit, decoder=vit, count=count, channels=6, entries=12, size=size, scrambled=staged, normalized=staged,
        proxy=proxy if staged else None,
    )  # fmt: skip
    if nested:
        return one_d_piece.RELEASES[0], one_d_piece.official_tokenizer(sizes), {}
    return titok.RELEASES[0 if staged else 1], titok.official_tokenizer(sizes), {}


def eyes(kind: int, qkv_bias: bool, mlp_bias: bool, indicators: int):
    sizes = ovis.OvisSizes(
        size=28, patch=7, width=1024, depth=1, heads=8, hidden=32, entries=9, words=6, indicators=indicators, stride=2,
        qkv_bias=qkv_bias, mlp_bias=mlp_bias,
    )  # fmt: skip
    release = next(one for one in ovis.RELEASES if one.kind.endswith(("Ovis 2 seeing part", "of transformers")[kind]))
    return release, ovis.official_eyes(sizes, lambda sizes: ovis.aimv2(sizes, normalised=bool(kind))), {}


CASES: dict[str, Make] = {
    "acdit-narrow": lambda: acdit_generator(48, 2),
    "acdit-wide": lambda: acdit_generator(96, 8),
    "llamagen-classes": lambda: llamagen_classes(6, 5, 40, 128),
    "llamagen-classes-more": lambda: llamagen_classes(9, 11, 16, 64),
    "llamagen-words": lambda: llamagen_words(5, 7, 12),
    "llamagen-tokenizer-8": lambda: llamagen_tokenizer(32, (1, 2, 2, 4), 32),
    "llamagen-tokenizer-16": lambda: llamagen_tokenizer(32, (1, 1, 2, 1, 2), 64),
    "mar": lambda: mar_generator(25, 3, 4, (24, 1)),
    "mar-deeper-head": lambda: mar_generator(36, 8, 6, (32, 3)),
    "maskgit-bert": lambda: maskgit_generator(0, 9, 64, 12),
    "maskgit-uvit": lambda: maskgit_generator(1, 16, 96, 20),
    "vqgan": lambda: vqgan(32, (1, 2, 1), 1),
    "vqgan-first-level-wider": lambda: vqgan(32, (2, 2, 4, 2), 3),
    "one-d-piece": lambda: titok_tokenizer(256, 64, True, nested=True),
    "ovis-2": lambda: eyes(0, False, False, 5),
    "ovis-2-biased": lambda: eyes(0, True, False, 4),
    "ovis-2-of-the-library": lambda: eyes(1, False, False, 5),
    "ovis-2-of-the-library-biased": lambda: eyes(1, True, True, 4),
    "rar": lambda: rar_generator(48, 4, 80, 16),
    "rar-wide": lambda: rar_generator(64, 16, 256, 25),
    "superclass": lambda: superclass_model(64, 256, 8, 4, 0),
    "superclass-other-ratio": lambda: superclass_model(128, 192, 4, 5, 2),
    "titok-1": lambda: titok_tokenizer(5, 64, False),
    "titok-2": lambda: titok_tokenizer(9, 80, True),
    "var": lambda: var_generator(48, 4, (1, 3, 5), False),
    "var-shared": lambda: var_generator(64, 2, (1, 2, 4, 7), True),
    "var-tokenizer": lambda: var_tokenizer(32, (1, 1, 2, 2, 4), 4),
    "var-tokenizer-one-phi": lambda: var_tokenizer(32, (1, 2, 1), 1),
    "xar": lambda: xar_generator(4, 6),
}
HELD = ("cap_fq", "num_samples", "cls_embedding.nothing", "quantize.embedding.weight")  # buffers that files hold
NUMBERS = ("heads", "size", "side", "count", "stride", "width", "eps")  # numbers that no parameter's shape has


def numbers(model: nn.Module) -> dict[str, object]:
    """What modules know beside their parameters."""
    return {
        f"{name}.{key}": getattr(module, key)
        for name, module in model.named_modules()
        for key in NUMBERS
        if isinstance(getattr(module, key, None), int | float | tuple)
    }


@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
@torch.no_grad()
def test_a_release_of_any_size_is_built_again(make: Make) -> None:
    torch.manual_seed(0)
    release, model, besides = make()
    for weight in model.parameters():
        weight.normal_()
    buffers = {name for name, _ in model.named_buffers()}
    state = {
        official_name(name, release.names): value for name, value in model.state_dict().items() if name not in buffers
    }
    state |= {key: model.state_dict()[name] for name in buffers if (key := official_name(name, release.names)) in HELD}
    found = load_saved({**state, **besides}, release.signature, Path("release.pt"))
    assert found.release is release
    assert set(found.report.skipped) <= set(besides)
    wanted, built = model.state_dict(), found.model.state_dict()
    assert {name: value.shape for name, value in built.items()} == {n: value.shape for n, value in wanted.items()}
    assert all(torch.equal(built[name], wanted[name]) for name in wanted if name not in buffers)
    ignored = ("size", "side") if release.kind == "tokenizer" else ()  # pixels, which convolutions do not tell
    ours, theirs = numbers(model), numbers(found.model)
    assert {k: v for k, v in theirs.items() if k.rpartition(".")[2] not in ignored} == {
        k: v for k, v in ours.items() if k.rpartition(".")[2] not in ignored
    }


@pytest.mark.parametrize("one", releases(), ids=lambda release: f"{release.system}-{release.kind}")
def test_a_signature_is_the_release_s_own(one: Release) -> None:
    """A file with the keys of a signature and no other is of that release, whatever other releases there are."""
    keys = {}
    for entry in one.signature:
        key, _, rows = entry.removesuffix("]").partition("[")
        keys[key.replace("*", "x")] = torch.zeros(int(rows or 1))
    assert recognise(keys, Path("release.pt")) is one


LEVELS = ("lvl_1L", "lvl_embed.weight", "blocks.0.attn.scale_mul_1H11")


@pytest.mark.parametrize(
    ("lacking", "more", "system"),
    [((), (), "var"), ((), ("blocks.0.mamba.A_log",), "m-var"), (LEVELS, (), "flexvar")],
)
def test_generators_that_came_of_one_another_are_told_apart(
    lacking: tuple[str, ...], more: tuple[str, ...], system: str
) -> None:
    """Their whole files, with the masks and positions that are saved too."""
    shared = ("pos_start", "pos_1LC", "attn_bias_for_masking", "word_embed.weight", "head_nm.ada_lin.1.weight")
    keys = [key for key in (*shared, *LEVELS, *more) if key not in lacking]
    assert recognise({key: torch.zeros(1) for key in keys}, Path("var.pth")).system == system

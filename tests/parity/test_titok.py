"""TiTok's tokenizers against the authors' code: same weights, same draws, same numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.parity.goldens import Golden, Replay, agree, described, goldens
from torch import Tensor

from limner.errors import CheckpointError
from limner.store.official import maskgit_vqgan
from limner.store.official.titok import (
    BASE,
    LARGE,
    NAMES,
    RELEASES,
    SMALL,
    TITOK_B64,
    TITOK_BL64,
    TITOK_BL64_VAE,
    TITOK_BL128,
    TITOK_BL128_VAE,
    TITOK_L32,
    TITOK_LL32_VAE,
    TITOK_S128,
    TITOK_SL256,
    TiTokSizes,
    official_tokenizer,
    sizes_of,
    with_proxy,
)
from limner.store.release import fill, official_name
from limner.store.released import recognise
from limner.tokenizers.objective import ReconstructionObjective
from limner.tokenizers.oned import OneDTokenizer, Vit
from limner.tokenizers.proxy import proxy_loss
from limner.types import Rng

TITOK = ("titok_vq_stage1", "titok_vq_stage2", "titok_vq8k", "titok_vae")
PUBLISHED = {
    "L32": TITOK_L32,
    "B64": TITOK_B64,
    "S128": TITOK_S128,
    "BL64": TITOK_BL64,
    "BL128": TITOK_BL128,
    "SL256": TITOK_SL256,
    "LL32-VAE": TITOK_LL32_VAE,
    "BL64-VAE": TITOK_BL64_VAE,
    "BL128-VAE": TITOK_BL128_VAE,
}


def substituted(golden: Golden, module: str, *sources: str) -> list[Any]:
    """Literals of the official source text as the fixture's changes left them."""
    changes = golden.config.get("substituted", {}).get(module, [])
    for before, after in changes:
        sources = tuple(source.replace(before, after) for source in sources)
    return [json.loads(source) for source in sources]


def vit(golden: Golden, name: str, patch: int) -> Vit:
    names = {"small": SMALL, "base": BASE, "large": LARGE}
    tables = (json.dumps({name: vit[place] for name, vit in names.items()}) for place in range(3))
    width, depth, heads = (table[name] for table in substituted(golden, "modeling.modules.blocks", *tables))
    return Vit(width, depth, heads, patch)


def proxy(golden: Golden, size: int) -> maskgit_vqgan.MaskgitVqganSizes:
    """The pixel decoder's sizes, which are written in the official code."""
    drawing, channels = substituted(
        golden,
        "modeling.titok",
        '{"channel_mult": [1, 1, 2, 2, 4], "hidden_channels": 128, "num_res_blocks": 2, "num_embeddings": 1024}',
        '{"z_channels": 256}',
    )
    return maskgit_vqgan.MaskgitVqganSizes(
        size=size,
        width=drawing["hidden_channels"],
        multipliers=tuple(drawing["channel_mult"]),
        depth=drawing["num_res_blocks"],
        channels=channels["z_channels"],
        entries=drawing["num_embeddings"],
    )


def sizes(golden: Golden) -> TiTokSizes:
    """The official configuration in our words."""
    config, size = golden.config["model"]["vq_model"], golden.config["dataset"]["preprocessing"]["crop_size"]
    legacy, discrete = config.get("is_legacy", True), config.get("quantize_mode", "vq") == "vq"
    return TiTokSizes(
        encoder=vit(golden, config["vit_enc_model_size"], config["vit_enc_patch_size"]),
        decoder=vit(golden, config["vit_dec_model_size"], config["vit_dec_patch_size"]),
        count=config["num_latent_tokens"],
        channels=config["token_size"],
        entries=config["codebook_size"] if discrete else None,
        proxy=proxy(golden, size) if legacy else None,
        scrambled=legacy,
        normalized=config.get("use_l2_norm", False),
        commitment=config["commitment_cost"],
        size=size,
    )


def first_stage(golden: Golden) -> bool:
    """Does it name codes without drawing them?"""
    config = golden.config["model"]["vq_model"]
    return config.get("is_legacy", True) and not config.get("finetune_decoder", True)


def filled(golden: Golden) -> OneDTokenizer:
    """The golden's tokenizer; a first stage is given some decoder of the proxy."""
    wanted, state = sizes(golden), golden.state()
    if first_stage(golden):
        assert wanted.proxy is not None
        fresh = maskgit_vqgan.official_tokenizer(wanted.proxy).state_dict()
        state = with_proxy(state, {official_name(name, maskgit_vqgan.NAMES): value for name, value in fresh.items()})
    tokenizer = official_tokenizer(wanted)
    fill(tokenizer, state, NAMES)
    if golden.config["model"]["vq_model"].get("finetune_decoder", True):
        tokenizer.freeze_tokens()
    return tokenizer.eval()


def signed(picture: Tensor) -> Tensor:
    """A picture in [0, 1], as the official code has it, in [-1, 1]."""
    return 2 * picture - 1


def decoded(golden: Golden, tokenizer: OneDTokenizer, latents: Tensor) -> Tensor:
    """What the official decode gives: a picture in [0, 1], or a first stage's logits."""
    if first_stage(golden):
        return tokenizer.decoder.pixels.logits(tokenizer.decoder.cells(latents))
    return tokenizer.decoder(latents)


def compare_gradients(golden: Golden, tokenizer: OneDTokenizer) -> None:
    ours = {official_name(name, NAMES): parameter.grad for name, parameter in tokenizer.named_parameters()}
    recorded = golden.under("out.grad.")
    assert recorded
    for name, wanted in recorded.items():
        gradient = ours[name]
        assert gradient is not None, name
        scale = wanted.abs().max().clamp_min(1e-12)  # gradients are small: compare shares of the largest
        agree(gradient / scale, wanted / scale)


# Encoding


@pytest.mark.parametrize("golden", goldens(*TITOK))
@torch.no_grad()
def test_encoder(golden: Golden) -> None:
    agree(filled(golden).features(signed(golden["in.image"])), golden["out.enc"])


@pytest.mark.parametrize("golden", goldens(*TITOK, having="out.idx"))
@torch.no_grad()
def test_ids(golden: Golden) -> None:
    tokenizer = filled(golden)
    ids = tokenizer.encode(signed(golden["in.image"]))
    assert torch.equal(ids, golden["out.idx"].flatten(1))
    agree(tokenizer.quantizer.latents(ids, 1, ids.shape[1]), golden["out.zq"])


@pytest.mark.parametrize("golden", goldens(*TITOK, having="out.quantizer_loss"))
def test_bottleneck(golden: Golden) -> None:
    tokenizer = filled(golden)
    bottleneck = tokenizer.quantizer(tokenizer.features(signed(golden["in.image"])), Rng(0))
    agree(bottleneck.latents, golden["out.zq"])
    agree(bottleneck.penalty, golden["out.quantizer_loss"])
    agree(bottleneck.metrics["commitment"], golden["out.commitment_loss"])
    agree(bottleneck.metrics["pull"], golden["out.codebook_loss"])


@pytest.mark.parametrize("golden", goldens(*TITOK, having="out.kl"))
@torch.no_grad()
def test_posterior(golden: Golden) -> None:
    tokenizer = filled(golden)
    features = tokenizer.features(signed(golden["in.image"]))
    mean, log_variance = tokenizer.quantizer.moments(features)
    agree(mean, golden["out.mean"])
    agree(log_variance, golden["out.logvar"])
    agree(tokenizer.quantizer.divergence(mean, log_variance).sum((1, 2)), golden["out.kl"])
    noise = golden["in.posterior_noise"]
    agree(tokenizer.quantizer(features, Replay(normal=[noise])).latents, golden["out.zq"])
    drawn = tokenizer.encode(signed(golden["in.image"]), Replay(normal=[noise]))
    agree(drawn, golden["out.zq"].flatten(2).mT)


# Decoding


@pytest.mark.parametrize("golden", goldens(*TITOK))
@torch.no_grad()
def test_decoder(golden: Golden) -> None:
    tokenizer = filled(golden)
    cells = tokenizer.decoder.cells(golden["out.zq"])
    raw = tokenizer.decoder.pixels.logits(cells) if sizes(golden).proxy else tokenizer.decoder.pixels(cells)
    agree(raw, golden["out.dec_raw"])
    agree(decoded(golden, tokenizer, golden["out.zq"]), golden["out.decoded"])


@pytest.mark.parametrize("golden", goldens(*TITOK, having="out.decode_tokens"))
@torch.no_grad()
def test_pictures_of_tokens(golden: Golden) -> None:
    tokenizer, wanted = filled(golden), golden["out.decode_tokens"]
    if sizes(golden).entries is None:
        tokens = golden["out.zq"].flatten(2).mT
    else:
        tokens = golden["out.idx"].flatten(1)
    latents = tokenizer.quantizer.latents(tokens, 1, tokens.shape[1])
    agree(decoded(golden, tokenizer, latents), wanted)
    if not first_stage(golden):
        agree(tokenizer.decode(tokens), signed(wanted.clamp(0, 1)))


# Losses


@pytest.mark.parametrize("golden", goldens(*TITOK, having="out.stage1_loss"))
def test_first_stage(golden: Golden) -> None:
    tokenizer = filled(golden)
    bottleneck = tokenizer.quantizer(tokenizer.features(signed(golden["in.image"])), Rng(0))
    logits = tokenizer.decoder.pixels.logits(tokenizer.decoder.cells(bottleneck.latents))
    weight = golden.config["losses"]["quantizer_weight"]
    loss = proxy_loss(logits, golden["in.proxy_codes"]) + weight * bottleneck.penalty
    agree(loss, golden["out.stage1_loss"])
    loss.backward()
    compare_gradients(golden, tokenizer)


@pytest.mark.parametrize("golden", goldens(*TITOK, having="out.loss_rec_plus_kl"))
def test_loss_of_the_posterior(golden: Golden) -> None:
    tokenizer = filled(golden)
    objective = ReconstructionObjective(l1=0.0, l2=0.25)  # of pixels in [-1, 1], twice as far apart
    noise = Replay(normal=[golden["in.posterior_noise"]])
    loss, _ = objective(tokenizer, signed(golden["in.image"]), noise)
    agree(loss, golden["out.loss_rec_plus_kl"])
    loss.backward()
    compare_gradients(golden, tokenizer)


@pytest.mark.parametrize("golden", goldens("titok_vq_stage2"))
def test_the_second_stage_moves_no_token(golden: Golden) -> None:
    tokenizer = filled(golden)
    reconstruction, bottleneck = tokenizer(signed(golden["in.image"]), Rng(0))
    agree(reconstruction, signed(golden["out.decoded"]))
    (reconstruction.square().mean() + bottleneck.penalty).backward()
    learning = {name for name, parameter in tokenizer.named_parameters() if parameter.grad is not None}
    assert learning == {name for name, _ in tokenizer.named_parameters() if name.startswith("decoder.")}


# Releases


def official_shapes(wanted: TiTokSizes) -> dict[str, Tensor]:
    """The state dict of a released tokenizer, without its numbers."""
    with torch.device("meta"):
        tokenizer = official_tokenizer(wanted)
    return {official_name(name, NAMES): value for name, value in tokenizer.named_parameters()}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_release_is_told_from_the_others_and_its_sizes_from_its_shapes(name: str) -> None:
    state = official_shapes(PUBLISHED[name])
    release = recognise(state, Path(name))
    assert release in RELEASES
    with torch.device("meta"):
        built = release.build(state)
    assert sizes_of(state) == PUBLISHED[name]
    shapes = {official_name(name, NAMES): value.shape for name, value in built.named_parameters()}
    assert shapes == {name: value.shape for name, value in state.items()}


@pytest.mark.parametrize("golden", goldens(*TITOK))
def test_official_keys_are_ours(golden: Golden) -> None:
    added = {key for key in official_shapes(sizes(golden)) if first_stage(golden) and key.startswith("pixel_")}
    assert official_shapes(sizes(golden)).keys() - added == golden.state().keys()


def test_a_first_stage_alone_is_no_release() -> None:
    state = {key: value for key, value in official_shapes(TITOK_B64).items() if not key.startswith("pixel_")}
    assert not any(release.fits(state) for release in RELEASES)
    state["encoder.positional_embedding"] = state["encoder.positional_embedding"][:, :700]
    with pytest.raises(CheckpointError, match="width 700 was never published, and nothing says how many heads"):
        sizes_of(state)
    assert sizes_of({**state, **described(encoder_num_heads=7)}).encoder.heads == 7

"""The tokenizer of MaskGIT against the released code: same weights, same numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.parity.goldens import Golden, agree, goldens
from torch import Tensor

from limner.store.official.maskgit_vqgan import (
    MASKGIT_VQGAN,
    NAMES,
    RELEASES,
    MaskgitVqganSizes,
    official_tokenizer,
    sizes_of,
)
from limner.store.release import fill, official_name
from limner.store.released import recognise
from limner.tokenizers.tokenizer import GridCodec
from limner.types import Rng

CASES = goldens("maskgit_vqgan")


def sizes(golden: Golden) -> MaskgitVqganSizes:
    """The official configuration in our words."""
    config = golden.config
    assert config["num_resolutions"] == len(config["channel_mult"])
    return MaskgitVqganSizes(
        size=golden["in.image"].shape[-1],  # the released code reads images of every size, whatever it was trained on
        width=config["hidden_channels"],
        multipliers=tuple(config["channel_mult"]),
        depth=config["num_res_blocks"],
        channels=config["z_channels"],
        entries=config["num_embeddings"],
    )


def filled(golden: Golden) -> GridCodec:
    tokenizer = official_tokenizer(sizes(golden)).eval()
    fill(tokenizer, golden.state(), NAMES)
    height, width = golden["in.image"].shape[-2:]  # which need not be those that it was built for
    return tokenizer.at((height, width))


def signed(picture: Tensor) -> Tensor:
    """A picture in [0, 1], as the official code has it, in [-1, 1]."""
    return 2 * picture - 1


@pytest.mark.parametrize("golden", CASES)
@torch.no_grad()
def test_encoding(golden: Golden) -> None:
    tokenizer = filled(golden)
    features = tokenizer.features(signed(golden["in.image"]))
    agree(features, golden["out.h"])
    ids = tokenizer.encode(signed(golden["in.image"]))
    assert torch.equal(ids, golden["out.idx"])
    agree(tokenizer.quantizer.latents(ids, *features.shape[2:]), golden["out.zq"])


@pytest.mark.parametrize("golden", CASES)
def test_bottleneck(golden: Golden) -> None:
    tokenizer = filled(golden)
    bottleneck = tokenizer.quantizer(tokenizer.features(signed(golden["in.image"])), Rng(0))
    agree(bottleneck.latents, golden["out.zq"])
    agree(bottleneck.penalty, golden["out.vq_loss"])


@pytest.mark.parametrize("golden", CASES)
@torch.no_grad()
def test_decoding(golden: Golden) -> None:
    tokenizer = filled(golden)
    agree(tokenizer.decoder(golden["out.zq"]), golden["out.rec"])
    agree(tokenizer.decode(golden["out.idx"]), signed(golden["out.rec"].clamp(0, 1)))
    reconstruction, _ = tokenizer(signed(golden["in.image"]), Rng(0))
    agree(reconstruction, signed(golden["out.rec"]))


@pytest.mark.parametrize("golden", CASES)
def test_sizes_are_read_from_shapes(golden: Golden) -> None:
    found = sizes(golden)
    assert sizes_of(golden.state(), found.size) == found
    (release,) = RELEASES
    assert recognise(golden.state(), golden.path) is release
    tokenizer = release.build(golden.state()).eval()  # for 256 pixels, and it encodes others too
    fill(tokenizer, golden.state(), release.names)
    with torch.no_grad():
        assert torch.equal(tokenizer.encode(signed(golden["in.image"])), golden["out.idx"])


@pytest.mark.parametrize("golden", CASES)
@torch.no_grad()
def test_other_sizes_than_it_was_built_for(golden: Golden) -> None:
    """Convolutions alone: a part that is far from the edges of a larger image has the same features."""
    tokenizer, image = filled(golden), signed(golden["in.image"])
    taller = torch.cat([image, image.flip(2)], dim=2)
    ids = tokenizer.encode(taller)
    assert ids.shape[1] == 2 * golden["out.idx"].shape[1]
    again = tokenizer.at((taller.shape[2], taller.shape[3]))
    assert torch.equal(again.encode(taller), ids)
    assert again.decode(ids).shape == taller.shape


def test_the_released_size() -> None:
    with torch.device("meta"):
        tokenizer = official_tokenizer(MASKGIT_VQGAN)
    assert tokenizer.layout.grids == ((16, 16),)
    state = {official_name(name, NAMES): value for name, value in tokenizer.state_dict().items()}
    (release,) = RELEASES
    assert recognise(state, Path("vqgan.bin")) is release
    with torch.device("meta"):
        built = release.build(state)
    assert {name: value.shape for name, value in built.state_dict().items()} == {
        name: value.shape for name, value in tokenizer.state_dict().items()
    }

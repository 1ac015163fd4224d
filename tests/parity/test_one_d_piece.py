"""One-D-Piece against the authors' code: TiTok's numbers from the first tokens alone, and the drop in training."""

from __future__ import annotations

import pytest
import torch
from tests.parity import test_titok as line
from tests.parity.goldens import Golden, Replay, agree, goldens
from torch import Tensor

from limner.store.official.one_d_piece import COUNT, NAMES, ONE_D_PIECE_B, RELEASES, official_tokenizer
from limner.store.release import official_name
from limner.store.released import recognise
from limner.tokenizers.objective import ReconstructionObjective
from limner.tokenizers.oned import OneDTokenizer, nested
from limner.tokenizers.proxy import proxy_loss
from limner.types import Layout

NAMED = ("one_d_piece_stage1", "one_d_piece_stage2")
CASES = goldens(*NAMED)


def filled(golden: Golden) -> OneDTokenizer:
    return nested(line.filled(golden))


def kept_of(golden: Golden) -> list[int]:
    """Numbers of first tokens that were decoded."""
    return sorted(
        {int(key.split(".")[1].removeprefix("dec_k")) for key in golden.tensors if key.startswith("out.dec_k")}
    )


def recorded(golden: Golden) -> Replay:
    """The draw of how many tokens a training batch keeps."""
    count = golden.config["model"]["vq_model"]["num_latent_tokens"]
    return Replay(uniform=[(golden["in.train.keep_k"] - 0.5) / count])


@pytest.mark.parametrize("golden", CASES)
@torch.no_grad()
def test_ids(golden: Golden) -> None:
    tokenizer = filled(golden)
    assert tokenizer.layout == Layout(((golden.config["model"]["vq_model"]["num_latent_tokens"],),), nested=True)
    agree(tokenizer.features(line.signed(golden["in.image"])), golden["out.enc"])
    ids = tokenizer.encode(line.signed(golden["in.image"]))
    assert torch.equal(ids, golden["out.idx"].flatten(1))
    agree(tokenizer.quantizer.latents(ids, 1, ids.shape[1]), golden["out.zq"])


@pytest.mark.parametrize("golden", CASES)
@torch.no_grad()
def test_first_tokens_decode_as_the_authors_do(golden: Golden) -> None:
    tokenizer, ids = filled(golden), golden["out.idx"].flatten(1)
    assert kept_of(golden)
    for kept in kept_of(golden):
        wanted = golden.under(f"out.dec_k{kept}.")
        logits = tokenizer.decoder.pixels.logits(tokenizer.decoder.cells(golden["out.zq"][..., :kept]))
        agree(logits[:, :: logits.shape[1] // wanted["raw"].shape[1]], wanted["raw"])
        if "proxy" in wanted:
            assert torch.equal(logits.argmax(1), wanted["proxy"])
        if "rec" in wanted:
            agree(tokenizer.decoder(golden["out.zq"][..., :kept]), wanted["rec"])
            agree(tokenizer.decode(ids[:, :kept]), line.signed(wanted["rec_ids"].clamp(0, 1)))


@pytest.mark.parametrize("golden", CASES)
def test_loss_and_gradients(golden: Golden) -> None:
    tokenizer, image, draws = filled(golden), line.signed(golden["in.image"]), recorded(golden)
    if line.first_stage(golden):
        bottleneck = tokenizer.quantizer(tokenizer.features(image), draws)
        agree(bottleneck.penalty, golden["out.train.quantizer_loss"])
        logits = tokenizer.decoder.pixels.logits(tokenizer.decoder.cells(bottleneck.latents))
        weight = golden.config["losses"]["quantizer_weight"]
        loss: Tensor = proxy_loss(logits, golden["in.proxy_codes"]) + weight * bottleneck.penalty
    else:
        loss, _ = ReconstructionObjective(l1=0.0, l2=0.25)(tokenizer, image, draws)
    draws.finish()
    agree(loss, golden["out.train.loss"])
    loss.backward()
    ours = {official_name(name, NAMES): parameter.grad for name, parameter in tokenizer.named_parameters()}
    for name, wanted in golden.under("out.train.grad.").items():
        gradient, scale = ours[name], wanted.abs().max()
        assert gradient is not None
        agree(gradient / scale, wanted / scale)


def test_256_tokens_tell_it_from_titok() -> None:
    with torch.device("meta"):
        made = official_tokenizer(ONE_D_PIECE_B)
    state = {official_name(name, NAMES): value for name, value in made.named_parameters()}
    release = recognise(state, line.Path("model.safetensors"))
    assert release is RELEASES[0]
    with torch.device("meta"):
        assert release.build(state).layout == Layout(((COUNT,),), nested=True)
    fewer = {**state, "latent_tokens": state["latent_tokens"][:128]}
    assert recognise(fewer, line.Path("model.safetensors")) is line.RELEASES[0]

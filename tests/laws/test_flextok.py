"""Nested tokens and a decoder that samples: any first tokens decode, no token depends on a later one."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from limner.errors import InputError
from limner.tokenizers.autoencoder import Autoencoder
from limner.tokenizers.flextok import FlexTok, FlowObjective
from limner.tokenizers.flow_decoder import FlowDecoder, ProjectedGuidance, classifier_free
from limner.tokenizers.quantizers.continuous import Gaussian
from limner.tokenizers.quantizers.scalar import FiniteScalarQuantizer
from limner.tokenizers.registers import (
    HeadNorm,
    LatentPatches,
    PatchGrid,
    RegisterEncoder,
    TransformerSizes,
    prefix_mask,
    register_blocks,
)
from limner.types import Rng, Tokenizer

COUNT, SIZE, GRID = 5, (24, 16), (6, 4)


@pytest.fixture(scope="module")
def tokenizer() -> FlexTok:
    torch.manual_seed(0)
    base = Autoencoder(Gaussian(3, 1e-4), size=SIZE, widths=(8, 8), encoder_depths=(1, 1), decoder_depths=(1, 1))
    latents, sizes = PatchGrid(GRID, 3, 2), TransformerSizes(32, 2, 2, 48)
    quantizer = FiniteScalarQuantizer((5, 4, 3))
    made = FlexTok(
        base,
        RegisterEncoder(latents, sizes, count=COUNT, features=3),
        quantizer,
        FlowDecoder(latents, sizes, count=COUNT, codes=3),
        steps=3,
        guidance=2.0,
    )
    for parameter in made.parameters():  # what starts at zero would hide what is before it
        nn.init.normal_(parameter, std=0.3)
    return made.eval()


def images(count: int = 3) -> Tensor:
    return torch.rand(count, 3, *SIZE, generator=torch.Generator().manual_seed(1)) * 2 - 1


@torch.no_grad()
def test_any_first_tokens_decode(tokenizer: FlexTok) -> None:
    assert isinstance(tokenizer, Tokenizer)
    assert tokenizer.layout.nested
    tokens = tokenizer.encode(images())
    assert tokens.shape == (3, tokenizer.layout.length) == (3, COUNT)
    decoded = [tokenizer.decode(tokens[:, :k]) for k in range(1, COUNT + 1)]
    assert all(image.shape == (3, 3, *SIZE) for image in decoded)
    assert all(float(image.abs().max()) <= 1 for image in decoded)
    for shorter, longer in pairwise(decoded):
        assert not torch.equal(shorter, longer)
    for wrong in (tokens[:, :0], torch.cat([tokens, tokens[:, :1]], dim=1)):
        with pytest.raises(InputError, match="tokens given, but this tokenizer's grid holds 5: give 1 to 5"):
            tokenizer.decode(wrong)


@torch.no_grad()
def test_no_register_depends_on_a_later_one(tokenizer: FlexTok) -> None:
    latents = tokenizer.base.encode(images())
    before, own = tokenizer.encoder(latents), tokenizer.encoder.registers.clone()
    for changed in range(COUNT):
        tokenizer.encoder.registers[changed] = torch.randn(32)
        after = tokenizer.encoder(latents)
        tokenizer.encoder.registers.copy_(own)
        assert torch.equal(after[..., :changed], before[..., :changed])
        for later in range(changed, COUNT):
            assert not torch.allclose(after[..., later], before[..., later])


def test_patches_see_no_register() -> None:
    mask = prefix_mask(3, 2, torch.device("cpu"))
    assert mask.long().tolist() == [[1, 1, 1, 0, 0]] * 3 + [[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]


@torch.no_grad()
def test_equal_noise_makes_equal_images_and_a_batch_is_its_rows(tokenizer: FlexTok) -> None:
    tokens = tokenizer.encode(images())[:, :3]
    together = tokenizer.decode(tokens, Rng([5, 6, 7]))
    assert torch.equal(tokenizer.decode(tokens, Rng([5, 6, 7])), together)
    assert not torch.allclose(tokenizer.decode(tokens, Rng([5, 6, 8]))[2], together[2])
    for row, seed in enumerate((5, 6, 7)):
        torch.testing.assert_close(
            tokenizer.decode(tokens[row : row + 1], Rng([seed])), together[row : row + 1], atol=1e-5, rtol=1e-4
        )
    torch.testing.assert_close(tokenizer.decode(tokens), tokenizer.decode(tokens, Rng([0, 0, 0])))


@torch.no_grad()
def test_steps_of_the_flow_are_a_choice(tokenizer: FlexTok) -> None:
    tokens = tokenizer.encode(images())
    assert torch.equal(tokenizer.decode(tokens), tokenizer.decode(tokens, steps=3))
    assert not torch.allclose(tokenizer.decode(tokens), tokenizer.decode(tokens, steps=1))
    with pytest.raises(InputError, match="0 steps of the flow were asked for, but must be at least 1"):
        tokenizer.decode(tokens, steps=0)


@torch.no_grad()
def test_masked_registers_hide_their_tokens(tokenizer: FlexTok) -> None:
    decoder = tokenizer.decoder
    codes = torch.randn(2, 3, 1, COUNT)
    whole, kept = decoder.registers(codes), torch.tensor([2, 4])
    part = decoder.registers(codes, kept)
    for row, count in enumerate(kept.tolist()):
        assert torch.equal(part[row, :count], whole[row, :count])
        assert torch.equal(part[row, count:], decoder.mask.expand(COUNT - count, -1))
        torch.testing.assert_close(part[row : row + 1], decoder.registers(codes[row : row + 1, :, :, :count]))
    nothing = decoder.without(whole, torch.tensor([True, False]))
    assert torch.equal(nothing[0], decoder.nothing.expand(COUNT, -1))
    assert torch.equal(nothing[1], whole[1])


def test_guides() -> None:
    given, free = torch.randn(2, 6, 3), torch.randn(2, 6, 3)
    torch.testing.assert_close(classifier_free(1.0)(given, free), given)
    torch.testing.assert_close(classifier_free(0.0)(given, free), free)
    guide = ProjectedGuidance(3.0, longest=0.5)
    for _ in range(2):
        change = guide(given, free) - given
        assert float((change * given).sum((1, 2)).abs().max()) < 1e-5, "orthogonal to the velocity"
        assert float(change.flatten(1).norm(dim=1).max()) <= 2 * 0.5 + 1e-5, "no longer than (scale - 1) longest"
    assert torch.equal(ProjectedGuidance(1.0)(given, free), given)


def test_patches_and_back() -> None:
    embedding, latents = LatentPatches(PatchGrid(GRID, 3, 2), 12), torch.randn(2, 24, 3)
    nn.init.eye_(embedding.project.weight)
    nn.init.zeros_(embedding.project.bias)
    embedding.position.zero_()
    assert torch.equal(embedding.unpatch(embedding(latents)), latents)
    with pytest.raises(InputError, match="patches of 4 do not divide 6x4 latents"):
        LatentPatches(PatchGrid(GRID, 3, 4), 12)
    with pytest.raises(InputError, match="width 12 does not divide into 5 heads"):
        register_blocks(TransformerSizes(12, 1, 5, 12))


def test_scores_have_the_scale_of_mup() -> None:
    query, key = torch.randn(4, 32), torch.randn(4, 32)
    norm, plain = HeadNorm(32), nn.LayerNorm(32, elementwise_affine=False)
    scores = (norm(query) * norm(key)).sum(1) / 32**0.5
    torch.testing.assert_close(scores, (plain(query) * plain(key)).sum(1) * 8 / 32)


def test_training_reaches_every_parameter_but_the_base(tokenizer: FlexTok) -> None:
    tokenizer.zero_grad()
    loss, metrics = FlowObjective(drop=0.5)(tokenizer, images(8), Rng(3))
    loss.backward()
    silent = {name for name, parameter in tokenizer.named_parameters() if parameter.grad is None}
    assert silent == {name for name, _ in tokenizer.named_parameters() if name.startswith("base.")}
    assert all(p.grad.any() for p in tokenizer.parameters() if p.grad is not None)
    assert set(metrics) == {"flow", "usage", "perplexity"}

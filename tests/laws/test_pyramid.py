"""The latents of a plain tokenizer as a pyramid: smaller copies of themselves, and nothing is learnt."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from limner.errors import InputError
from limner.tokenizers.autoencoder import Autoencoder
from limner.tokenizers.pyramid import Pyramid, PyramidTokenizer, doubling
from limner.tokenizers.quantizers.continuous import Gaussian, Identity
from limner.tokenizers.quantizers.quantizer import Quantizer
from limner.tokenizers.tokenizer import QuantizingTokenizer
from limner.types import Rng, Tokenizer

CHANNELS, LENGTHS = 3, (1, 4, 16)


def pyramid() -> Pyramid:
    return Pyramid(Identity(CHANNELS), doubling((4, 4)))


def tokenizer() -> PyramidTokenizer:
    torch.manual_seed(0)
    small = {"size": 16, "widths": (8, 8), "encoder_depths": (1, 1), "decoder_depths": (1, 1)}
    return PyramidTokenizer(Autoencoder(Gaussian(CHANNELS, 1e-4), **small)).eval()


def picture() -> Tensor:
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_scales_double() -> None:
    assert doubling((8, 8)).grids == ((1, 1), (2, 2), (4, 4), (8, 8))
    assert doubling((1, 1)).grids == ((1, 1),)


@pytest.mark.parametrize(("rows", "columns"), [(6, 6), (4, 8), (12, 12)])
def test_what_doubling_does_not_reach_is_refused(rows: int, columns: int) -> None:
    with pytest.raises(InputError, match=f"no doubling of 1x1 makes {rows}x{columns}: choose a tokenizer"):
        doubling((rows, columns))


def test_a_scale_is_the_mean_of_what_it_covers() -> None:
    latents = torch.randn(2, 16, CHANNELS)
    first, second, third = pyramid().shrunk(latents).split(LENGTHS, dim=1)
    assert torch.equal(third, latents)
    torch.testing.assert_close(first[:, 0], latents.mean(1))
    quarters = latents.unflatten(1, (2, 2, 2, 2)).mean((2, 4)).flatten(1, 2)
    torch.testing.assert_close(second, quarters)
    torch.testing.assert_close(second.mean(1), first[:, 0])


def test_the_last_scale_is_the_picture_and_fewer_a_coarser_one() -> None:
    made, latents = pyramid(), torch.randn(2, 16, CHANNELS)
    tokens = made.shrunk(latents)
    assert torch.equal(made.finest(tokens), latents)
    other = torch.cat([torch.randn(2, 5, CHANNELS), tokens[:, 5:]], dim=1)
    assert torch.equal(made.finest(other), latents), "coarser scales have no part in the last"
    mean = made.finest(tokens[:, :1])
    torch.testing.assert_close(mean, latents.mean(1, keepdim=True).expand(-1, 16, -1))
    assert made.finest(tokens[:, :5]).var(1).mean() < latents.var(1).mean()
    with pytest.raises(InputError, match="6 tokens given"):
        made.finest(tokens[:, :6])


def test_a_slot_is_told_the_scale_before_its_own_and_no_more() -> None:
    """Slots of scale i hear of every token of scale i - 1 or its neighbours, and of no token of scale i or later."""
    made = pyramid()
    tokens = made.shrunk(torch.randn(1, 16, CHANNELS)).requires_grad_()
    told = made.scale_inputs(tokens)
    assert told.shape == tokens.shape
    assert not told[:, :1].any()
    scale = torch.arange(3).repeat_interleave(torch.tensor(LENGTHS))
    for slot in range(1, len(scale)):
        (gradient,) = torch.autograd.grad(told[0, slot].sum(), tokens, retain_graph=True)
        felt = gradient[0].abs().sum(-1)
        assert (felt[scale != scale[slot] - 1] == 0).all()
        assert felt[scale == scale[slot] - 1].any()
    torch.testing.assert_close(told[:, 1:5], tokens[:, :1].expand(-1, 4, -1))


def test_its_tokens_are_those_of_the_whole() -> None:
    made, plain = tokenizer(), tokenizer().base
    assert isinstance(made, Tokenizer)
    assert isinstance(made, QuantizingTokenizer)
    assert isinstance(made.quantizer, Quantizer)
    assert made.layout.length == sum(LENGTHS)
    with torch.no_grad():
        tokens, wanted = made.encode(picture()), plain.encode(picture())
        assert torch.equal(tokens[:, -16:], wanted)
        assert torch.equal(made.decode(tokens), plain.decode(wanted))
        assert made.decode(tokens[:, :5]).shape == picture().shape
        features = made.features(picture())
        assert torch.equal(made.quantizer.latents(tokens, 4, 4), plain.quantizer.latents(wanted, 4, 4))
        drawn = made.quantizer.draw(made.quantizer.keep(features), Rng(5))
        assert torch.equal(drawn[:, -16:], plain.quantizer.draw(plain.quantizer.keep(features), Rng(5)))
        assert torch.equal(drawn, made.quantizer.shrunk(drawn[:, -16:]))
        assert torch.equal(made(picture(), Rng(3))[0], plain(picture(), Rng(3))[0])

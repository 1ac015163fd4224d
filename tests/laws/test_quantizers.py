"""What every quantizer must do, and that ours agree with vector-quantize-pytorch."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from torch import Tensor, nn
from vector_quantize_pytorch import FSQ, LFQ, ResidualVQ, VectorQuantize

from limner.errors import InputError
from limner.tokenizers.autoencoder import Autoencoder
from limner.tokenizers.quantizers.bernoulli import BernoulliQuantizer
from limner.tokenizers.quantizers.binary import LookupFreeQuantizer
from limner.tokenizers.quantizers.digits import capacity, compose, decompose
from limner.tokenizers.quantizers.learned import LearnedCodebook
from limner.tokenizers.quantizers.nested import TailDrop
from limner.tokenizers.quantizers.product import ProductQuantizer
from limner.tokenizers.quantizers.quantizer import Discrete, Quantizer, usage
from limner.tokenizers.quantizers.residual import ResidualQuantizer
from limner.tokenizers.quantizers.scalar import FiniteScalarQuantizer
from limner.tokenizers.quantizers.spherical import BinarySphericalQuantizer
from limner.tokenizers.quantizers.vector import VectorQuantizer
from limner.types import Rng


def learned(entries: int, channels: int, **options: float) -> LearnedCodebook:
    """A codebook as wide as the latents that it will meet."""
    made = LearnedCodebook(entries, channels, **options)
    nn.init.normal_(made.codebook)
    return made


def averaged(entries: int, channels: int) -> VectorQuantizer:
    made = VectorQuantizer(entries, channels)
    made(torch.randn(4, channels, 4, 4, requires_grad=True), Rng(0))
    return made.eval().requires_grad_(False)


QUANTIZERS = {
    "vector": lambda: averaged(16, 4),
    "learned": lambda: learned(16, 4),
    "normalized": lambda: learned(16, 4, normalize=True),
    "scalar": lambda: FiniteScalarQuantizer((8, 5, 4, 3)),
    "binary": lambda: LookupFreeQuantizer(4),
    "spherical": lambda: BinarySphericalQuantizer(4),
    "residual": lambda: ResidualQuantizer(learned(6, 4), 3),
    "averaged residual": lambda: ResidualQuantizer(averaged(6, 4), 3),
    "product": lambda: ProductQuantizer([learned(6, 1), learned(5, 3)]),
}


@pytest.fixture(params=QUANTIZERS)
def quantizer(request: pytest.FixtureRequest) -> Discrete:
    torch.manual_seed(0)
    return QUANTIZERS[request.param]()


# Digits


def test_digits_come_back_from_an_id() -> None:
    radices = (3, 2, 5)
    digits = torch.tensor(list(product(*(range(radix) for radix in reversed(radices))))).flip(1)
    ids = compose(digits, radices)
    assert ids.tolist() == list(range(30))  # the first digit is the least significant
    assert torch.equal(decompose(ids, radices), digits)


def test_ids_have_63_bits() -> None:
    bits = (2,) * 63
    largest = compose(torch.ones(1, 63, dtype=torch.long), bits)
    assert largest.item() == 2**63 - 1 == capacity(bits) - 1
    assert decompose(largest, bits).all()
    with pytest.raises(InputError, match="64 choices make"):
        capacity((2,) * 64)


# Laws


def test_tokens_are_what_training_sees(quantizer: Discrete) -> None:
    assert isinstance(quantizer, Quantizer)
    features = 2 * torch.randn(2, quantizer.features, 3, 5)
    seen = quantizer(features, Rng(0)).latents
    ids = quantizer.tokens(features)
    assert seen.shape == (2, quantizer.channels, 3, 5)
    torch.testing.assert_close(quantizer.latents(ids, 3, 5), seen, rtol=0, atol=1e-6)
    assert ids.min() >= 0
    assert ids.max() < quantizer.entries
    assert torch.equal(quantizer.draw(quantizer.keep(features), Rng(0)), ids)


@pytest.mark.parametrize("name", [name for name in QUANTIZERS if "residual" not in name])
def test_every_code_is_its_own(name: str) -> None:
    """What an id decodes to has that id; not so for sums of rows, which may lie nearer to other rows."""
    torch.manual_seed(0)
    quantizer = QUANTIZERS[name]()
    ids = torch.arange(quantizer.entries)[None]
    latents = quantizer.latents(ids, 1, quantizer.entries)
    if isinstance(quantizer, FiniteScalarQuantizer):
        middle = quantizer.middle[:, None, None]
        levels = torch.tensor(quantizer.levels)[:, None, None]
        reach, offset = (levels - 1) * 1.001 / 2, (levels % 2 == 0) / 2
        latents = torch.atanh((latents * middle + offset) / reach) - torch.atanh(offset / reach)
    assert torch.equal(quantizer.tokens(latents), ids)


def test_the_gradient_passes_straight_through(quantizer: Discrete) -> None:
    features = torch.randn(2, quantizer.features, 3, 3, requires_grad=True)
    onward = torch.randn(2, quantizer.channels, 3, 3)
    (gradient,) = torch.autograd.grad((quantizer(features, Rng(0)).latents * onward).sum(), features)
    by_hand = features.detach().requires_grad_()
    if isinstance(quantizer, FiniteScalarQuantizer):
        passed = quantizer.bounded(by_hand.permute(0, 2, 3, 1)).permute(0, 3, 1, 2) / quantizer.middle[:, None, None]
    elif isinstance(quantizer, BinarySphericalQuantizer) or getattr(quantizer, "normalize", False):
        passed = nn.functional.normalize(by_hand, dim=1)
    else:
        passed = 1.0 * by_hand
    (wanted,) = torch.autograd.grad((passed * onward).sum(), by_hand)
    torch.testing.assert_close(gradient, wanted)


def test_an_autoencoder_learns_through_it(quantizer: Discrete) -> None:
    model = Autoencoder(quantizer, size=16, widths=(8, 8), encoder_depths=(1, 1), decoder_depths=(1, 1))
    image = torch.rand(4, 3, 16, 16) * 2 - 1
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for step in range(30):
        reconstruction, bottleneck = model(image, Rng(step))
        loss = (reconstruction - image).square().mean()
        optimizer.zero_grad()
        (loss + bottleneck.penalty).backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.97 * losses[0]
    assert {"usage", "perplexity"} <= bottleneck.metrics.keys()
    tokens = model.eval().encode(image)
    assert tokens.shape == (4, model.layout.length)
    assert model.decode(tokens).shape == image.shape


def test_usage_counts_what_occurs() -> None:
    metrics = usage(torch.tensor([[0, 7], [7, 2**40]]), 2**42)
    assert float(metrics["usage"]) == pytest.approx(3 / 2**42)
    assert float(metrics["perplexity"]) == pytest.approx(math.exp(1.5 * math.log(2)))


def test_a_channel_of_two_values_is_refused() -> None:
    with pytest.raises(InputError, match="2 levels were asked"):
        FiniteScalarQuantizer((8, 2))


# Against vector-quantize-pytorch


def line(features: Tensor) -> Tensor:
    """``[b, c, h, w]`` as the package's ``[b, h * w, c]``."""
    return features.flatten(2).mT


@pytest.mark.parametrize("levels", [(8, 5, 5, 5), (7, 5, 5, 5, 5), (8, 6, 5), (3, 4)])
def test_scalar_as_the_package(levels: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    features = (2 * torch.randn(2, len(levels), 8, 8)).requires_grad_()
    ours, theirs = FiniteScalarQuantizer(levels), FSQ(list(levels))
    latents, wanted = ours(features, Rng(0)).latents, theirs(features)
    torch.testing.assert_close(latents, wanted[0])
    assert torch.equal(ours.tokens(features), wanted[1].flatten(1).long())
    onward = torch.randn_like(latents)
    gradients = [torch.autograd.grad((z * onward).sum(), features)[0] for z in (latents, wanted[0])]
    torch.testing.assert_close(*gradients)
    ids = torch.arange(ours.entries)[None]
    torch.testing.assert_close(line(ours.latents(ids, 1, ours.entries)), theirs.indices_to_codes(ids))


@pytest.mark.parametrize("temperature", [0.01, 1.0, 20.0])
def test_lookup_free_as_the_package(temperature: float) -> None:
    torch.manual_seed(0)
    features = torch.randn(2, 5, 4, 4, requires_grad=True)
    options = {"entropy": 0.3, "diversity": 0.7, "commitment": 0.5}
    ours = LookupFreeQuantizer(5, temperature=temperature, **options)
    theirs = LFQ(dim=5, entropy_loss_weight=0.3, diversity_gamma=0.7, commitment_loss_weight=0.5).train()
    bottleneck = ours(features, Rng(0))
    latents, ids, loss = theirs(features, inv_temperature=1 / temperature)
    torch.testing.assert_close(bottleneck.latents, latents)
    backwards = decompose(ours.tokens(features), ours.radices).flip(-1)  # their first channel is the highest bit
    assert torch.equal(compose(backwards, ours.radices), ids.flatten(1).long())
    torch.testing.assert_close(bottleneck.penalty, loss, rtol=0, atol=1e-3)  # they clip logarithms at 1e-5
    found, wanted = (torch.autograd.grad(value, features)[0] for value in (bottleneck.penalty, loss))
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_spherical_as_the_package(temperature: float) -> None:
    torch.manual_seed(0)
    features = torch.randn(2, 5, 4, 4)
    ours, theirs = BinarySphericalQuantizer(5, temperature=temperature), LFQ(dim=5, spherical=True).train()
    bottleneck = ours(features, Rng(0))
    (latents, ids, _), parts = theirs(features, inv_temperature=1 / temperature, return_loss_breakdown=True)
    torch.testing.assert_close(bottleneck.latents, latents)
    backwards = decompose(ours.tokens(features), ours.radices).flip(-1)
    assert torch.equal(compose(backwards, ours.radices), ids.flatten(1).long())
    torch.testing.assert_close(bottleneck.metrics["entropy"], parts.per_sample_entropy, rtol=0, atol=1e-3)
    assert parts.batch_entropy - 1e-4 <= bottleneck.metrics["codes"] <= 5 * math.log(2)


def test_the_entropy_of_independent_bits_is_that_of_the_codes() -> None:
    """Where the latents are all corners, equally often, the bound of Eq. 8 is reached."""
    ours = BinarySphericalQuantizer(4, temperature=1.0)
    corners = ours.latents(torch.arange(16)[None], 1, 16)
    metrics = ours(corners, Rng(0)).metrics
    exact = LFQ(dim=4, spherical=True).train()(corners, inv_temperature=1.0, return_loss_breakdown=True)[1]
    torch.testing.assert_close(metrics["codes"], exact.batch_entropy)
    assert float(metrics["codes"]) == pytest.approx(4 * math.log(2))


def test_residual_as_the_package() -> None:
    torch.manual_seed(0)
    features = torch.randn(2, 4, 4, 4, requires_grad=True)
    ours = ResidualQuantizer(learned(16, 4, commitment=0.25, pull=0.0), 3)
    theirs = ResidualVQ(
        dim=4, num_quantizers=3, codebook_size=16, shared_codebook=True, commitment_weight=0.25, rotation_trick=False
    ).train()
    theirs.layers[0]._codebook.embed.data.copy_(ours.codebook.codebook.detach()[None])
    bottleneck = ours(features, Rng(0))
    latents, ids, losses = theirs(line(features), freeze_codebook=True)
    torch.testing.assert_close(line(bottleneck.latents), latents)
    assert torch.equal(decompose(ours.tokens(features), ours.radices), ids)
    torch.testing.assert_close(bottleneck.penalty, losses.sum())
    found, wanted = (torch.autograd.grad(value, features)[0] for value in (bottleneck.penalty, losses.sum()))
    torch.testing.assert_close(found, wanted)


def test_product_as_the_package() -> None:
    torch.manual_seed(0)
    features = torch.randn(2, 6, 4, 4, requires_grad=True)
    books = [learned(16, 3, commitment=0.25, pull=0.0) for _ in range(2)]
    ours = ProductQuantizer(books)
    theirs = VectorQuantize(
        dim=6,
        codebook_dim=3,
        heads=2,
        separate_codebook_per_head=True,
        codebook_size=16,
        commitment_weight=0.25,
        rotation_trick=False,
    ).train()
    theirs._codebook.embed.data.copy_(torch.stack([book.codebook.detach() for book in books]))
    bottleneck = ours(features, Rng(0))
    latents, ids, loss = theirs(line(features), freeze_codebook=True)
    torch.testing.assert_close(line(bottleneck.latents), latents)
    assert torch.equal(decompose(ours.tokens(features), ours.radices), ids)
    torch.testing.assert_close(bottleneck.penalty, loss.sum())
    found, wanted = (torch.autograd.grad(value, features)[0] for value in (bottleneck.penalty, loss.sum()))
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("normalize", [False, True])
def test_codebooks_as_the_package(normalize: bool) -> None:
    torch.manual_seed(0)
    features = torch.randn(2, 4, 4, 4, requires_grad=True)
    ours = learned(16, 4, commitment=0.25, pull=0.0, normalize=normalize)
    theirs = VectorQuantize(
        dim=4, codebook_size=16, commitment_weight=0.25, rotation_trick=False, use_cosine_sim=normalize
    ).train()
    theirs._codebook.embed.data.copy_(ours.rows().detach()[None])
    bottleneck = ours(features, Rng(0))
    latents, ids, loss = theirs(line(features), freeze_codebook=True)
    torch.testing.assert_close(line(bottleneck.latents), latents)
    assert torch.equal(ours.tokens(features), ids)
    if not normalize:  # with directions they commit the latents as they came
        torch.testing.assert_close(bottleneck.penalty, loss.sum())


# Tail token drop


def test_a_training_batch_keeps_1_to_n_first_tokens_equally_often() -> None:
    inner, features = learned(16, 4), torch.randn(3, 4, 1, 5)
    quantizer, whole, kept = TailDrop(inner), inner(features, Rng(0)), []
    for seed in range(400):
        bottleneck = quantizer(features, Rng(seed))
        kept.append(bottleneck.latents.shape[-1])
        assert torch.equal(bottleneck.latents, whole.latents[..., : kept[-1]])
        assert torch.equal(bottleneck.penalty, whole.penalty)
    assert all(55 <= kept.count(count) <= 110 for count in range(1, 6))
    assert torch.equal(quantizer.tokens(features), inner.tokens(features))


# Bits that are drawn


@pytest.mark.parametrize("signed", [False, True])
def test_bits_are_set_as_often_as_they_are_likely_and_ids_are_the_likelier_ones(signed: bool) -> None:
    torch.manual_seed(0)
    quantizer = BernoulliQuantizer(3, 3, codes=3, signed=signed)
    quantizer.rows.data.copy_(torch.eye(3))
    log_odds = torch.tensor([-1.0, 0.2, 2.0])
    features = log_odds[None, :, None, None].expand(1, 3, 50, 50).clone().requires_grad_()
    latents = quantizer(features, Rng(0)).latents
    assert set(latents.detach().round().unique().tolist()) == ({-1.0, 1.0} if signed else {0.0, 1.0})
    share = ((latents.round() > 0).float()).mean((0, 2, 3))
    likely = 0.5 * log_odds.tanh() + 0.5 if signed else log_odds.sigmoid()
    assert (share - likely).abs().max() < 0.03
    (gradient,) = torch.autograd.grad(latents.sum(), features)
    slope = 1 - log_odds.tanh() ** 2 if signed else log_odds.sigmoid() * (1 - log_odds.sigmoid())
    torch.testing.assert_close(gradient[0, :, 0, 0], slope)
    assert (quantizer.tokens(features) == 0b110).all()
    everything = quantizer.latents(torch.arange(8)[None], 2, 4).flatten(2)[0].T
    assert len(everything.unique(dim=0)) == 8


def test_codes_divide_the_bits() -> None:
    assert BernoulliQuantizer(12, 4, codes=3).radices == (16, 16, 16)
    with pytest.raises(InputError, match="12 bits do not divide into 5 codes"):
        BernoulliQuantizer(12, 4, codes=5)

"""Bottlenecks, folding, perceptual distance and the discriminator."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from limner.errors import InputError
from limner.tokenizers.autoencoder import Autoencoder
from limner.tokenizers.discriminator import PatchDiscriminator, adaptive_weight, hinge_losses
from limner.tokenizers.folding import fold, unfold
from limner.tokenizers.kl import Double, KlAutoencoder
from limner.tokenizers.maskgit_vqgan import MaskgitVqgan
from limner.tokenizers.oned import LatentEncoder, MaskDecoder, OneDTokenizer, PatchPixels, Vit
from limner.tokenizers.perceptual import perceptual_distance
from limner.tokenizers.proxy import ProxyObjective, ProxyPixels
from limner.tokenizers.quantizers.continuous import Gaussian, Identity
from limner.tokenizers.quantizers.learned import LearnedCodebook, assignment_entropy
from limner.tokenizers.quantizers.quantizer import Quantizer
from limner.tokenizers.quantizers.vector import VectorQuantizer
from limner.tokenizers.vqgan import Vqgan
from limner.types import Rng, Size, Tokenizer

# Folding


@pytest.mark.parametrize(
    ("grid", "patch"), [((4, 4), 1), ((4, 4), 2), ((4, 4), 4), ((6, 6), 3), ((8, 4), 2), ((3, 2, 4), 2)]
)
def test_unfolding_undoes_folding(grid: tuple[int, ...], patch: int) -> None:
    latents = torch.randn(2, math.prod(grid), 3)
    folded = fold(latents, grid, patch)
    assert folded.shape == (2, math.prod(grid) // patch**2, 3 * patch**2)
    assert torch.equal(unfold(folded, grid, patch), latents)


def test_a_folded_token_is_a_square_of_latents() -> None:
    latents = torch.arange(16.0)[None, :, None]
    assert fold(latents, (4, 4), 2)[0].tolist() == [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]


# Codebook


def quantizer(rows: list[list[float]], **options: float) -> VectorQuantizer:
    """A codebook with these rows, as if each had been chosen once per batch."""
    made = VectorQuantizer(len(rows), len(rows[0]), **options)
    made.codebook.copy_(torch.tensor(rows))
    made.sums.copy_(made.codebook)
    made.counts.fill_(1.0)
    made.ready.fill_(True)
    return made


def grid_of(vectors: list[list[float]]) -> Tensor:
    """Vectors as the features ``[1, c, 1, n]`` of one picture, which a learning encoder gave."""
    return torch.tensor(vectors).T[None, :, None, :].contiguous().requires_grad_()


CROSS = [[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]


def test_a_latent_becomes_its_nearest_row() -> None:
    made = quantizer(CROSS).eval()
    features = grid_of([[0.9, 0.2], [0.1, -3.0], [-0.2, 0.1]])
    assert made.tokens(features).tolist() == [[0, 3, 1]]
    assert torch.equal(made.latents(torch.tensor([[0, 3, 1]]), 1, 3), made(features, Rng(0)).latents)


def test_the_gradient_passes_straight_through() -> None:
    made = quantizer(CROSS).eval()
    features = torch.randn(2, 2, 3, 3, requires_grad=True)
    onward = torch.randn(2, 2, 3, 3)
    (gradient,) = torch.autograd.grad((made(features, Rng(0)).latents * onward).sum(), features)
    assert torch.equal(gradient, onward)


def test_commitment_pulls_latents_to_their_rows() -> None:
    made = quantizer(CROSS, commitment=0.5)
    features = grid_of([[0.9, 0.2], [0.1, -3.0]])
    bottleneck = made(features, Rng(0))
    assert float(bottleneck.penalty.detach()) == pytest.approx(0.5 * (0.1**2 + 0.2**2 + 0.1**2 + 2.0**2) / 4)
    (gradient,) = torch.autograd.grad(bottleneck.penalty, features)
    torch.testing.assert_close(gradient, grid_of([[-0.1, 0.2], [0.1, -2.0]]) * 0.5 * 2 / 4)


def test_rows_follow_what_chose_them() -> None:
    made = quantizer(CROSS, decay=0.9, revive_below=0.0).train()
    made(grid_of([[0.8, 0.0], [0.6, 0.2]]), Rng(0))
    expected = torch.tensor([0.9 * 1.0 + 0.1 * 1.4, 0.1 * 0.2]) / (0.9 + 0.1 * 2)
    torch.testing.assert_close(made.codebook[0], expected)
    torch.testing.assert_close(made.codebook[1:], torch.tensor(CROSS[1:]))
    torch.testing.assert_close(made.counts, torch.tensor([1.1, 0.9, 0.9, 0.9]))


def test_rows_stand_still_with_a_frozen_encoder() -> None:
    made = quantizer(CROSS).train()
    made(grid_of([[5.0, 5.0]]).detach(), Rng(0))
    assert torch.equal(made.codebook, torch.tensor(CROSS))


def test_dead_rows_are_reborn_among_the_latents() -> None:
    features = grid_of([[0.9, 0.1], [1.1, -0.1], [0.9, -0.1], [1.1, 0.1]])
    far = [[1.0, 0.0], [50.0, 50.0], [-50.0, 50.0], [50.0, -50.0]]
    dying, revived = (quantizer(far, decay=0.5, revive_below=share) for share in (0.0, 0.2))
    for step in range(8):
        metrics = dying(features, Rng(step)).metrics
        revived(features, Rng(step))
    assert metrics["usage"] == 0.25
    assert metrics["perplexity"] == pytest.approx(1.0)
    assert (dying.codebook[1:].norm(dim=1) > 10).all()
    assert (revived.codebook.norm(dim=1) < 2).all()


def test_usage_is_metered() -> None:
    made = quantizer(CROSS)
    metrics = made.usage(torch.tensor([0, 0, 1, 1]))
    assert {name: float(value) for name, value in metrics.items()} == pytest.approx(
        {"usage": 0.5, "perplexity": 2.0, "dead": 0.0}
    )
    made.counts[:3] = torch.tensor([0.0, 1e-9, 5.0])
    assert made.usage(torch.tensor([0, 1, 2, 3]))["dead"] == 2
    assert made.usage(torch.tensor([0, 1, 2, 3]))["perplexity"] == pytest.approx(4.0)


def test_the_codebook_begins_among_the_latents() -> None:
    made = VectorQuantizer(16, 2)
    features = (7 + 0.1 * torch.randn(2, 2, 8, 8)).requires_grad_()
    made(features, Rng(0))
    assert bool(made.ready)
    assert (made.codebook - 7).abs().max() < 1


# Gaussian


def test_the_kl_of_a_gaussian_is_the_closed_form() -> None:
    made = Gaussian(3, weight=0.5).eval()
    features = torch.randn(2, 6, 4, 4)
    mean, log_variance = features.chunk(2, 1)
    law = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    kl = torch.distributions.kl_divergence(law, torch.distributions.Normal(0.0, 1.0)).mean()
    bottleneck = made(features, Rng(0))
    torch.testing.assert_close(bottleneck.metrics["kl"], kl)
    torch.testing.assert_close(bottleneck.penalty, 0.5 * kl)


def test_latents_are_drawn_from_the_posterior() -> None:
    made = Gaussian(1, weight=0.0).eval()
    features = torch.tensor([2.0, 2 * math.log(0.5)]).reshape(1, 2, 1, 1).expand(1, 2, 100, 100)
    z = made(features, Rng(0)).latents
    assert float(z.mean()) == pytest.approx(2.0, abs=0.02)
    assert float(z.std()) == pytest.approx(0.5, abs=0.02)
    assert made.tokens(features).eq(2.0).all()
    assert float(made.tokens(features, Rng(1)).std()) == pytest.approx(0.5, abs=0.02)


def test_what_is_kept_of_a_picture_gives_its_tokens() -> None:
    features = torch.randn(2, 4, 3, 3)
    for made in (Identity(4), Gaussian(2, 0.0), quantizer([[1.0, 0, 0, 0], [0, 1.0, 0, 0]])):
        if not made.discrete:
            made.scale.mean.fill_(0.5)
            made.scale.variance.fill_(4.0)
        tokens, drawn = made.tokens(features), made.draw(made.keep(features), Rng(3))
        if isinstance(made, Gaussian):
            deviation = (0.5 * features[:, 2:]).exp().flatten(2).mT / 2
            tokens = tokens + deviation * Rng(3).normal(2, 9, 2)
        torch.testing.assert_close(drawn, tokens)


@pytest.mark.parametrize("build", [lambda: Identity(2), lambda: Gaussian(2, 0.0)])
def test_generators_see_unit_variance(build) -> None:
    made = build().train()
    scale = torch.tensor([5.0, 0.1])[:, None, None]
    for seed in range(1000):
        features = 3 + scale * torch.randn(2, 2, 8, 8, generator=torch.Generator().manual_seed(seed))
        if isinstance(made, Gaussian):
            features = torch.cat([features, torch.full_like(features, -20.0)], 1)
        made(features.requires_grad_(), Rng(seed))
    tokens = made.eval().tokens(features)
    assert tokens.mean((0, 1)).tolist() == pytest.approx([0.0, 0.0], abs=0.25)
    assert tokens.std((0, 1)).tolist() == pytest.approx([1.0, 1.0], abs=0.15)
    torch.testing.assert_close(made.latents(tokens, 8, 8), features[:, :2], rtol=1e-4, atol=1e-4)


# Codebooks learnt by gradients


@pytest.mark.parametrize("normalize", [False, True])
def test_both_sides_of_a_learnt_codebook_are_pulled_together(normalize: bool) -> None:
    torch.manual_seed(0)
    made = LearnedCodebook(8, 3, commitment=0.3, pull=0.7, normalize=normalize)
    nn.init.normal_(made.codebook)
    features = torch.randn(2, 3, 2, 2, requires_grad=True)
    bottleneck = made(features, Rng(0))
    ids = made.tokens(features)
    scaled = nn.functional.normalize if normalize else lambda vectors, dim: vectors
    z, rows = scaled(features.flatten(2).mT, dim=-1), scaled(made.codebook[ids], dim=-1)
    assert torch.equal(torch.cdist(z, scaled(made.codebook, dim=-1)[None]).argmin(-1), ids)
    torch.testing.assert_close(made.latents(ids, 2, 2), bottleneck.latents)
    torch.testing.assert_close(bottleneck.penalty, (z - rows).square().mean())
    wanted = (0.3 * (z - rows.detach()).square().mean() + 0.7 * (z.detach() - rows).square().mean()).detach()
    torch.testing.assert_close(bottleneck.penalty.detach(), wanted)
    learnt = torch.autograd.grad(bottleneck.penalty, (features, made.codebook), retain_graph=True)
    by_hand = torch.autograd.grad((z - rows).square().mean(), (features, made.codebook))
    torch.testing.assert_close(learnt, (0.3 * by_hand[0], 0.7 * by_hand[1]))


def test_entropy_is_least_where_vectors_are_sure_of_different_rows() -> None:
    sure = 100.0 * (1 - torch.eye(4))
    assert float(assignment_entropy(sure)) == pytest.approx(-math.log(4), abs=1e-3)
    assert float(assignment_entropy(sure[:1].expand(4, -1))) == pytest.approx(0.0, abs=1e-3)  # all choose one row
    assert float(assignment_entropy(torch.zeros(4, 4))) == pytest.approx(0.0, abs=1e-3)  # none is sure


def test_what_stands_still_costs_nothing() -> None:
    torch.manual_seed(0)
    made = LearnedCodebook(8, 3)
    features = torch.randn(1, 3, 2, 2)
    assert made(features, Rng(0)).penalty > 0
    made.requires_grad_(False)
    assert made(features, Rng(0)).penalty == 0
    assert made(features.requires_grad_(), Rng(0)).penalty > 0


# A line of tokens


def oned(
    quantizer: Quantizer, *, proxy: MaskgitVqgan | None = None, scrambled: bool = False, size: Size = 16
) -> OneDTokenizer:
    """16 tokens of an image of 16 pixels, in 4x4 cells of 4."""
    vit, pixels = Vit(32, 1, 2, patch=4), PatchPixels(32, 4)
    if proxy is not None:
        pixels = ProxyPixels(32, entries=6, channels=4, decoder=proxy.decoder)
    encoder = LatentEncoder(vit, size=size, count=16, features=quantizer.features, scrambled=scrambled)
    decoder = MaskDecoder(vit, size=size, count=16, channels=quantizer.channels, pixels=pixels)
    return OneDTokenizer(encoder, quantizer, decoder, size=size)


def vqgan() -> MaskgitVqgan:
    return MaskgitVqgan(size=16, width=32, multipliers=(1, 2, 1), channels=4, entries=6, depth=1)


def test_the_first_stage_names_the_codes_of_another_tokenizer() -> None:
    torch.manual_seed(0)
    proxy, image = vqgan(), torch.rand(2, 3, 16, 16) * 2 - 1
    model = oned(LearnedCodebook(8, 3), proxy=proxy)
    loss, metrics = ProxyObjective(model.decoder.pixels, proxy)(model, image, Rng(0))
    _, bottleneck = model(image, Rng(0))
    shares = model.decoder.pixels.logits(model.decoder.cells(bottleneck.latents)).softmax(1).flatten(2).mT
    codes = proxy.encode(image)
    named = shares.gather(2, codes[:, :, None])
    torch.testing.assert_close(loss, -named.log().mean() + bottleneck.penalty)
    assert float(metrics["named"]) == pytest.approx(float((shares.argmax(2) == codes).float().mean()))
    loss.backward()
    assert all(parameter.grad is None for parameter in proxy.parameters())
    assert all(parameter.grad is not None for parameter in model.encoder.parameters())


def test_frozen_tokens_are_not_learnt() -> None:
    torch.manual_seed(0)
    model = oned(LearnedCodebook(8, 3, normalize=True), proxy=vqgan(), scrambled=True)
    model.freeze_tokens()
    reconstruction, bottleneck = model(torch.rand(2, 3, 16, 16), Rng(0))
    (reconstruction.square().mean() + bottleneck.penalty).backward()
    learnt = {name.split(".")[0] for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert learnt == {"decoder"}


def test_the_first_tokens_alone_make_a_picture() -> None:
    torch.manual_seed(0)
    decoder = oned(Identity(3)).decoder
    assert decoder(torch.randn(2, 3, 1, 5)).shape == (2, 3, 16, 16)


# Whole tokenizers


def tokenizers() -> list[nn.Module]:
    small = {"size": 16, "widths": (8, 8), "encoder_depths": (1, 1), "decoder_depths": (1, 1)}
    return [
        Autoencoder(Identity(3), **small),
        Autoencoder(Gaussian(3, 1e-4), **small),
        Autoencoder(VectorQuantizer(8, 3), **small),
        KlAutoencoder(size=16, width=32, multipliers=(1, 2, 1), channels=3, depth=1, attention=(1,), scale=0.5),
        vqgan(),
        oned(LearnedCodebook(8, 3)),
        oned(Gaussian(3, 1e-4)),
        oned(LearnedCodebook(8, 3, normalize=True), proxy=vqgan(), scrambled=True),
        Vqgan(LearnedCodebook(8, 3, entropy=0.1), size=16, width=32, multipliers=(1, 2, 1), hidden=5, attention=(2,)),
        oned(VectorQuantizer(8, 3)),
    ]


@pytest.mark.parametrize("which", range(10))
def test_tokens_fill_the_layout_and_come_back_as_a_picture(which: int) -> None:
    torch.manual_seed(0)
    tokenizer = tokenizers()[which].eval()
    assert isinstance(tokenizer, Tokenizer)
    image = torch.rand(2, 3, 16, 16) * 2 - 1
    with torch.no_grad():
        tokens = tokenizer.encode(image)
        assert tokens.shape[:2] == (2, tokenizer.layout.length) == (2, 16)
        picture = tokenizer.decode(tokens)
    assert picture.shape == image.shape
    assert picture.abs().max() <= 1
    with pytest.raises(InputError, match="image is 8x10 pixels"):
        tokenizer.encode(torch.zeros(1, 3, 8, 10))
    with pytest.raises(InputError, match="9 tokens given"):
        tokenizer.decode(tokens[:, :9])


@pytest.mark.parametrize("which", [0, 2, 3, 4, 8])
@torch.no_grad()
def test_convolutions_read_every_size_that_divides_into_cells(which: int) -> None:
    torch.manual_seed(0)
    tokenizer = tokenizers()[which].eval()
    image = torch.rand(2, 3, 24, 16) * 2 - 1
    other = tokenizer.at((24, 16))
    assert (other.size, other.layout.grids, tokenizer.layout.grids) == ((24, 16), ((6, 4),), ((4, 4),))
    tokens = other.encode(image)
    assert tokens.shape[:2] == (2, 24)
    assert torch.equal(tokenizer.encode(image), tokens)
    assert other.decode(tokens).shape == image.shape
    with pytest.raises(InputError, match="24 tokens given, but this tokenizer's grid holds 16"):
        tokenizer.decode(tokens)
    with pytest.raises(InputError, match="size 24x18 does not divide"):
        tokenizer.at((24, 18))


def test_a_line_of_tokens_makes_an_image_that_is_no_square() -> None:
    torch.manual_seed(0)
    made = oned(LearnedCodebook(8, 3), size=(24, 16)).eval()
    image = torch.rand(2, 3, 24, 16) * 2 - 1
    with torch.no_grad():
        tokens = made.encode(image)
        assert made.layout.grids == ((tokens.shape[1],),)
        assert made.decode(tokens).shape == image.shape


@pytest.mark.parametrize("which", range(10))
def test_training_reaches_every_parameter(which: int) -> None:
    torch.manual_seed(0)
    tokenizer = tokenizers()[which].train()
    for parameter in tokenizer.parameters():
        nn.init.normal_(parameter, std=0.3)  # last convolutions start at zero and would hide what is before them
    reconstruction, bottleneck = tokenizer(torch.rand(2, 3, 16, 16) * 2 - 1, Rng(0))
    (reconstruction.square().mean() + bottleneck.penalty).backward()
    assert all(p.grad is not None and p.grad.any() for p in tokenizer.parameters())


def test_the_scale_of_latents_is_what_was_asked() -> None:
    torch.manual_seed(0)
    tokenizer = tokenizers()[3].eval()
    image = torch.rand(1, 3, 16, 16) * 2 - 1
    with torch.no_grad():
        mean = tokenizer.features(image)[:, :3]
        torch.testing.assert_close(tokenizer.encode(image), 0.5 * mean.flatten(2).mT)


@pytest.mark.parametrize(
    ("given", "problem"), [({"size": 18}, "size 18 does not divide"), ({"width": 24}, "width 24 does not divide")]
)
def test_sizes_that_do_not_fit_are_refused(given: dict[str, int], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        KlAutoencoder(**{"size": 16, "width": 32, "multipliers": (1, 1, 1), "channels": 4, **given})
    with pytest.raises(InputError, match=problem):
        MaskgitVqgan(**{"size": 16, "width": 32, "multipliers": (1, 1, 1), "channels": 4, "entries": 8, **given})


def test_cells_that_do_not_fill_a_picture_are_refused() -> None:
    with pytest.raises(InputError, match="size 18 does not divide into cells of 4"):
        LatentEncoder(Vit(32, 1, 2, patch=4), size=18, count=8, features=3)


# Perceptual distance


def test_perceptual_distance_is_zero_only_for_equal_pictures() -> None:
    torch.manual_seed(0)
    first, second = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, stride=2)

    def features(image: Tensor) -> list[Tensor]:
        return [first(image), second(first(image).relu())]

    image = torch.rand(3, 3, 16, 16)
    other = image.clone()
    other[1, :, 4, 4] += 0.5
    distance = perceptual_distance(features, other, image)
    assert distance[[0, 2]].eq(0).all()
    assert distance[1] > 0
    assert torch.allclose(perceptual_distance(features, image, other), distance)


def test_perceptual_distance_is_the_mean_over_space_of_squared_differences_of_directions() -> None:
    image, target = torch.tensor([3.0, 4.0, 0.0]), torch.tensor([0.0, 2.0, 0.0])
    pictures = [vector.reshape(1, 3, 1, 1).expand(1, 3, 2, 2) for vector in (image, target)]
    distance = perceptual_distance(lambda x: [x, x], *pictures)
    assert distance.tolist() == pytest.approx([2 * (0.6**2 + (0.8 - 1) ** 2)])


# Discriminator


def test_the_autoencoder_meets_a_discriminator_that_takes_no_gradient() -> None:
    torch.manual_seed(0)
    discriminator = PatchDiscriminator(4)
    reconstruction, image = torch.rand(2, 3, 32, 32).requires_grad_(), torch.rand(2, 3, 32, 32)
    fooled, told = hinge_losses(discriminator, reconstruction, image)
    fooled.backward(retain_graph=True)
    assert all(parameter.grad is None for parameter in discriminator.parameters())
    assert reconstruction.grad is not None
    assert reconstruction.grad.any()
    reconstruction.grad = None
    told.backward()
    assert reconstruction.grad is None
    weights = [parameter for parameter in discriminator.parameters() if parameter.ndim > 1]
    assert all(weight.grad is not None and weight.grad.any() for weight in weights)


def test_hinge_losses_by_hand() -> None:
    scores = nn.Flatten(0)
    fooled, told = hinge_losses(
        scores,
        torch.tensor([0.5, -3.0]).reshape(2, 1, 1, 1).expand(2, 3, 1, 1),
        torch.tensor([0.2, 2.0]).reshape(2, 1, 1, 1).expand(2, 3, 1, 1),
    )
    assert float(fooled) == pytest.approx(1.25)
    assert float(told) == pytest.approx(0.5 * ((0.8 + 0) / 2 + (1.5 + 0) / 2))


def test_the_adaptive_weight_is_the_ratio_of_gradients() -> None:
    last = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    weight = adaptive_weight(3 * last.sum(), (last * torch.tensor([[0.0, 0.0], [0.0, 2.0]])).sum(), last)
    assert float(weight) == pytest.approx(6 / (2 + 1e-4))
    assert not weight.requires_grad
    assert float(adaptive_weight(1e9 * last.sum(), 1e-9 * last.sum(), last)) == 1e4


def test_a_patch_of_the_discriminator_is_22_pixels() -> None:
    torch.manual_seed(0)
    image = torch.rand(1, 3, 64, 64, requires_grad=True)
    scores = PatchDiscriminator(4)(image)
    assert scores.shape == (1, 1, 8, 8)
    (gradient,) = torch.autograd.grad(scores[0, 0, 4, 4], image)
    rows = gradient.abs().sum((0, 1, 3)).nonzero()
    assert int(rows.max() - rows.min()) + 1 == 22


# Doubling


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_doubling_is_a_convolution_of_the_enlarged_picture(layout: torch.memory_format) -> None:
    """Also at the edges, also backwards, in the order of memory that it was given."""
    torch.manual_seed(0)
    double = Double(3).double()
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()
    plain = double.conv(nn.functional.interpolate(x, scale_factor=2.0, mode="nearest"))
    ours = double(x)
    torch.testing.assert_close(ours, plain, rtol=0, atol=1e-12)
    assert ours.is_contiguous(memory_format=layout)
    onward, parameters = torch.randn_like(ours), (x, *double.parameters())
    for found, wanted in zip(*(torch.autograd.grad(y, parameters, onward) for y in (ours, plain)), strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


# Memory


@pytest.mark.parametrize(("size", "together"), [(256, [1, 1, 1]), (128, [3])])
@torch.no_grad()
def test_a_cpu_paints_large_pictures_one_by_one(size: int, together: list[int]) -> None:
    torch.manual_seed(0)
    model = Autoencoder(
        Identity(2), size=size, widths=(4, 4, 4, 4), encoder_depths=(1, 1, 1, 1), decoder_depths=(1, 1, 1, 1)
    )
    seen: list[int] = []
    model.decoder.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    tokens = torch.randn(3, model.layout.length, 2)
    pictures = model.decode(tokens)
    assert seen == together
    torch.testing.assert_close(pictures, torch.cat([model.decode(token) for token in tokens.split(1)]))

"""Giving pictures back: who learns from it, whose pictures count, and that what is learnt can be drawn."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tests.unified.test_vision_language import COLOURS, build, plain
from torch import Tensor

from limner.data.conversations import Turn
from limner.encoders.vit import VisionTransformer
from limner.errors import InputError
from limner.tokenizers.autoencoder import Autoencoder
from limner.tokenizers.quantizers.continuous import Gaussian
from limner.types import Rng
from limner.unified.conversation import pack
from limner.unified.denoiser import TokenDenoiser
from limner.unified.reconstruction import Denoising, Reconstruction, Regression, TargetObjective
from limner.unified.targets import Features, FoldedLatents, Pixels, Target, side_of

SIZE, SLOTS, WIDTH = 16, 4, 32


def vae() -> Autoencoder:
    torch.manual_seed(1)
    return Autoencoder(
        Gaussian(3, 1e-4), size=SIZE, widths=(4, 4), encoder_depths=(0, 0), decoder_depths=(0, 0)
    )  # 4x4 latents


def regression(channels: int) -> Regression:
    return Regression(WIDTH, channels)


def cosine(channels: int) -> Regression:
    return Regression(WIDTH, channels, cosine=True)


def modulated(channels: int) -> Denoising:
    return Denoising(WIDTH, TokenDenoiser(channels, WIDTH, 2, width=16, depth=1, heads=2))


def summed(channels: int) -> Denoising:
    network = TokenDenoiser(channels, WIDTH, 2, width=16, depth=1, heads=2, modulated=False)
    return Denoising(WIDTH, network, learned_norm=True)


def learned(channels: int) -> Denoising:
    return Denoising(WIDTH, TokenDenoiser(channels, WIDTH, 2, width=16, depth=1, heads=2, learned_variance=True))


OBJECTIVES = (regression, cosine, modulated, summed, learned)
Make = Callable[[int], TargetObjective]


def reconstruction(make: Make, target: Target | None = None, **controls: bool) -> Reconstruction:
    """Freshly initialised, but for last layers, which start at zero and would hide everything."""
    target = target or Pixels(SIZE, SLOTS)
    torch.manual_seed(0)
    made = Reconstruction(target, make(target.channels), **controls)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return made


def batch(rows: int = 4) -> tuple[Tensor, Tensor]:
    torch.manual_seed(2)
    return torch.randn(rows, SLOTS, WIDTH), torch.rand(rows, 3, SIZE, SIZE) * 2 - 1


@pytest.mark.parametrize("make", OBJECTIVES)
@pytest.mark.parametrize("stopped", [False, True])
def test_it_teaches_the_language_model_unless_stopped(make: Make, stopped: bool) -> None:
    model, taught = build(), reconstruction(make, stopped=stopped)
    images = torch.stack([plain(colour) for colour in COLOURS])
    packed = pack([[Turn("what colour ?", colour)] for colour in COLOURS], model.vocabulary, model.image_tokens)
    hidden, has_picture = model.states_at_images(packed, model.hidden(packed, model.vectors(images)))
    assert has_picture.all()
    taught(hidden, images, has_picture, Rng(0)).backward()
    assert all(parameter.grad is not None for parameter in taught.parameters())
    for module in (model.language.blocks, model.connector, model.encoder.blocks):
        grads = [parameter.grad for parameter in module.parameters()]
        assert all(grad is None for grad in grads) if stopped else all(grad is not None for grad in grads)


def test_pictures_are_looked_at_before_questions_are_read() -> None:
    model = build().eval()
    images = torch.stack([plain(colour) for colour in COLOURS])
    packed = pack([[Turn("is it red ?", "yes")]] * 3, model.vocabulary, model.image_tokens)
    with torch.no_grad():
        hidden, _ = model.states_at_images(packed, model.hidden(packed, model.vectors(images)))
        torch.testing.assert_close(model.image_states(images), hidden)


@pytest.mark.parametrize("make", OBJECTIVES)
def test_rows_without_a_picture_change_nothing(make: Make) -> None:
    taught, (hidden, image) = reconstruction(make), batch()
    hidden.requires_grad_()
    has_picture = torch.tensor([True, False, True, False])
    loss = taught(hidden, image, has_picture, Rng(3))
    loss.backward()
    assert hidden.grad is not None
    assert not hidden.grad[~has_picture].any()
    assert hidden.grad[has_picture].flatten(1).any(1).all()
    with torch.no_grad():
        alone = taught(hidden[has_picture], image[has_picture], torch.tensor([True, True]), Rng(3))
        assert torch.equal(alone, loss)
        assert float(taught(hidden, image, torch.zeros(4, dtype=torch.bool), Rng(3))) == 0


def test_the_official_mask_counts_rows_without_a_picture() -> None:
    (hidden, image), has_picture = batch(), torch.tensor([True, False, True, True])
    official, correct = (reconstruction(regression, official_masking=official) for official in (True, False))
    zeroed = torch.where(has_picture[:, None, None], hidden, 0.0)
    with torch.no_grad():
        loss = official(hidden, image, has_picture, Rng(0))
        torch.testing.assert_close(loss, correct(zeroed, image, torch.ones(4, dtype=torch.bool), Rng(0)))
        assert abs(loss - correct(hidden, image, has_picture, Rng(0))) > 1e-3


@pytest.mark.parametrize("make", OBJECTIVES)
def test_shuffled_pictures_are_those_of_others(make: Make) -> None:
    (hidden, image), has_picture = batch(), torch.tensor([True, True, False, True])
    others = image[[3, 0, 2, 1]]
    with torch.no_grad():
        shuffled = reconstruction(make, shuffled=True)(hidden, image, has_picture, Rng(0))
        assert torch.equal(shuffled, reconstruction(make)(hidden, others, has_picture, Rng(0)))


@pytest.mark.parametrize("make", [modulated, summed])
def test_denoising_costs_one_before_anything_is_learnt(make: Callable[[int], Denoising]) -> None:
    target, (hidden, image) = Pixels(SIZE, SLOTS), batch(64)
    denoising = make(target.channels)
    with torch.no_grad():
        errors = denoising.errors(hidden, target.values(image, Rng(0)), Rng(0))
    numbers = errors.numel() * denoising.draws * SLOTS * target.channels
    assert abs(float(errors.mean()) - 1) < 5 * (2 / numbers) ** 0.5


@pytest.mark.slow
@pytest.mark.parametrize("make", [modulated, summed, regression])
def test_what_it_learns_it_draws(make: Make) -> None:
    """Hidden states that tell red from blue cells, and pictures of such cells."""
    torch.manual_seed(0)
    size, words = 4, torch.randn(2, WIDTH)
    colours = torch.tensor([COLOURS["red"], COLOURS["blue"]])
    target = Pixels(size, SLOTS)
    taught = Reconstruction(target, make(target.channels))
    optimizer = torch.optim.AdamW(taught.parameters(), lr=1e-2)

    def shown(rows: int, rng: Rng) -> tuple[Tensor, Tensor]:
        which = (rng.uniform(rows, SLOTS) < 0.5).long()
        cells = colours[which].mT.unflatten(2, (2, 2))
        return words[which], cells.repeat_interleave(2, 2).repeat_interleave(2, 3)

    for step in range(300):
        rng = Rng(step)
        loss = taught(*shown(32, rng), torch.ones(32, dtype=torch.bool), rng)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    hidden, image = shown(8, Rng(1000))
    drawn = taught.picture(hidden, Rng(range(8)))
    assert drawn is not None
    assert (drawn - image).abs().mean() < 0.25
    assert (drawn.sign() == image.sign()).float().mean() > 0.97


def test_a_picture_is_drawn_alike_alone_and_among_others() -> None:
    taught, (hidden, _) = reconstruction(modulated), batch()
    together, alone = taught.picture(hidden, Rng(range(4))), taught.picture(hidden[2:3], Rng([2]))
    assert together is not None
    assert alone is not None
    torch.testing.assert_close(together[2:3], alone)


def test_cosine_is_blind_to_length() -> None:
    (hidden, image), target = batch(), Pixels(SIZE, SLOTS)
    values = target.values(image, Rng(0))
    objective = cosine(target.channels)
    with torch.no_grad():
        torch.testing.assert_close(
            objective.errors(hidden, 7 * values, Rng(0)), objective.errors(hidden, values, Rng(0))
        )
        found = objective.predict(hidden, Rng(0))
        torch.testing.assert_close(objective.errors(hidden, -found, Rng(0)), torch.full((4,), 2.0))


def test_pixels_lie_where_their_slot_does() -> None:
    target, (_, image) = Pixels(SIZE, SLOTS), batch()
    values = target.values(image, Rng(0))
    assert values.shape == (4, SLOTS, target.channels)
    assert torch.equal(target.picture(values), image)
    torch.testing.assert_close(values[:, 1].mean(1), image[:, :, :8, 8:].mean((1, 2, 3)))


def test_latents_are_folded_drawn_and_never_learn() -> None:
    tokenizer, (_, image) = vae(), batch()
    target = FoldedLatents(tokenizer, 3, SLOTS)
    first, other = target.values(image, Rng(0)), target.values(image, Rng(1))
    assert first.shape == (4, SLOTS, 12)
    assert not first.requires_grad
    assert not torch.equal(first, other), "the posterior's mean was taken"
    with torch.no_grad():
        torch.testing.assert_close(target.picture(first), tokenizer.decode(tokenizer.encode(image, Rng(0))))
    small = image[:, :, ::2, ::2]
    assert target.values(small, Rng(0)).shape == first.shape, "pictures of other sizes are resized"
    taught = reconstruction(modulated, target)
    assert not any(parameter is own for parameter in taught.parameters() for own in tokenizer.parameters())
    assert {name.split(".")[0] for name in taught.state_dict()} == {"objective"}


def test_a_teacher_sees_one_patch_per_slot() -> None:
    torch.manual_seed(0)
    teacher, (hidden, image) = VisionTransformer(size=SIZE, patch=8, width=8, depth=1, heads=2), batch()
    target = Features(teacher, SLOTS)
    torch.testing.assert_close(target.values(image, Rng(0)), teacher(image).vectors)
    taught = reconstruction(cosine, target)
    assert taught.picture(hidden, Rng(0)) is None
    assert 0 < float(taught(hidden, image, torch.ones(4, dtype=torch.bool), Rng(0)).detach()) < 2
    with pytest.raises(InputError, match="sees 4 patches, but an image has 9 tokens"):
        Features(teacher, 9).values(image, Rng(0))


def test_latents_are_asked_for_at_a_size_at_which_they_can_be_shared_out() -> None:
    """ROSS: 27x27 slots of 14 pixels, latents of 8 pixels folded 2x2, so the autoencoder is shown 432 pixels."""
    tokenizer, rng = vae(), Rng(0)
    assert FoldedLatents.nearest(tokenizer, 3, 4, SIZE).tokenizer is tokenizer
    for slots, size, wanted in ((9, 24, 24), (9, 14, 12), (25, 60, 60)):
        target = FoldedLatents.nearest(tokenizer, 3, slots, size)
        assert (target.tokenizer.size, target.patch) == (wanted, wanted // (4 * side_of(slots)))
        image = torch.rand(1, 3, size, size) * 2 - 1
        values = target.values(image, rng)
        assert values.shape == (1, slots, target.channels)
        assert target.picture(values).shape == (1, 3, wanted, wanted)
    assert (tokenizer.size, tokenizer.layout.grids) == (SIZE, ((4, 4),))
    with pytest.raises(InputError, match="4x4 latents do not divide among 9x9 slots"):
        FoldedLatents.nearest(tokenizer, 3, 81, SIZE)
    with pytest.raises(InputError, match="size 18 does not divide into cells of 4 pixels"):
        tokenizer.at(18)


def test_slots_that_make_no_square_have_no_pixels() -> None:
    with pytest.raises(InputError, match="5 slots make no square"):
        Pixels(SIZE, 5)
    with pytest.raises(InputError, match="16 pixels do not divide into 3 cells"):
        Pixels(SIZE, 9)
    with pytest.raises(InputError, match="4x4 latents do not divide among 3x3 slots"):
        FoldedLatents(vae(), 3, 9)

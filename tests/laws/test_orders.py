"""Orders: every plan reaches every token once, and MAR's falls as the official loop does."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from limner.errors import InputError
from limner.generators.orders import (
    ArccosMasked,
    Cells,
    Diagonals,
    Order,
    Permuted,
    RandomMasked,
    Raster,
    annealed_share,
    arccos_unmasking,
    cosine_unmasking,
    steps_of_ranks,
)
from limner.types import Layout, Rng


def official_masked_after(count: int, passes: int, share: Callable[[int, int], float]) -> list[int]:
    """What stays masked after each pass of the authors' loops, in their own arithmetic of fp32 tensors."""
    masked, left = [], torch.tensor([float(count)])
    for step in range(passes):
        wanted = torch.Tensor([np.floor(count * share(step, passes))])
        left = torch.maximum(torch.Tensor([1]), torch.minimum(left - 1, wanted))
        masked.append(int(left))
    return [*masked[:-1], 0]  # the last pass predicts whatever is left


def official_cosine(step: int, passes: int) -> float:
    return np.cos(math.pi / 2.0 * (step + 1) / passes)


def official_arccos(step: int, passes: int) -> float:
    return np.arccos(1.0 * (step + 1) / passes) / (math.pi * 0.5)


UNMASKINGS = [(cosine_unmasking, official_cosine), (arccos_unmasking, official_arccos)]


def line(count: int) -> Layout:
    """So many tokens."""
    return Layout(((count,),))


@pytest.mark.parametrize(("ours", "official"), UNMASKINGS)
def test_unmasking_is_the_official_one(
    ours: Callable[[int, int], list[int]], official: Callable[[int, int], float]
) -> None:
    for count in range(1, 65):
        for passes in range(1, count + 1):
            masked = ours(count, passes)
            assert masked == official_masked_after(count, passes, official), (count, passes)
            assert all(before > after for before, after in zip([count, *masked], masked, strict=False))


PLANS = [(RandomMasked(), cosine_unmasking), (ArccosMasked(), arccos_unmasking)]


@pytest.mark.parametrize(("order", "unmasking"), PLANS)
@pytest.mark.parametrize(("count", "passes"), [(1, 1), (16, 1), (16, 5), (16, 16), (64, 12), (256, 64)])
def test_a_plan_holds_every_step_equally_often_in_every_row(
    count: int, passes: int, order: Order, unmasking: Callable[[int, int], list[int]]
) -> None:
    steps = order.decoding_steps(5, line(count), passes, Rng(3))
    assert steps.shape == (5, count)
    counts = torch.stack([torch.bincount(row, minlength=passes + 1) for row in steps])
    assert counts[:, 0].eq(0).all()
    assert counts[:, 1:].min() >= 1
    assert counts.eq(counts[0]).all()
    after = count - counts[0, 1:].cumsum(0)
    assert after.tolist() == unmasking(count, passes)


def test_rows_have_their_own_order() -> None:
    steps = RandomMasked().decoding_steps(8, line(64), 64, Rng(0))
    assert len({tuple(row.tolist()) for row in steps}) == 8


def test_no_number_of_passes_means_one_token_each() -> None:
    steps = RandomMasked().decoding_steps(2, line(9), None, Rng(0))
    assert steps.sort(1).values.tolist() == [list(range(1, 10))] * 2


def test_ranks_are_unmasked_from_the_last() -> None:
    assert steps_of_ranks(torch.arange(6)[None], [4, 1, 0]).tolist() == [[3, 2, 2, 2, 1, 1]]


@pytest.mark.parametrize("order", [RandomMasked(), ArccosMasked()])
@pytest.mark.parametrize("passes", [-1, 17])
def test_impossible_passes_are_refused(passes: int, order: Order) -> None:
    with pytest.raises(InputError, match="16 tokens cannot be drawn"):
        order.decoding_steps(1, line(16), passes, Rng(0))


def test_raster_has_one_plan() -> None:
    assert Raster().decoding_steps(2, line(4), None, Rng(0)).tolist() == [[1, 2, 3, 4]] * 2
    with pytest.raises(InputError, match="4 tokens in 4 steps, not 3: leave out --steps"):
        Raster().decoding_steps(2, line(4), 3, Rng(0))


def test_training_masks_as_many_tokens_in_every_row_and_gives_the_rest() -> None:
    for seed in range(50):
        steps = RandomMasked().training_steps(4, line(20), Rng(seed))
        masked = steps.sum(1)
        assert set(steps.unique().tolist()) <= {0, 1}
        assert masked.eq(masked[0]).all()
        assert 14 <= int(masked[0]) <= 20


def test_the_masked_share_is_a_truncated_normal() -> None:
    count = 10_000  # so that rounding up does not matter
    shares = np.array(
        [float(RandomMasked().training_steps(1, line(count), Rng(seed)).sum()) / count for seed in range(800)]
    )
    density = [math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) for z in (-1.2, 0.0)]
    mass = [0.5 * (1 + math.erf(z / math.sqrt(2))) for z in (-1.2, 0.0)]
    mean = 1.0 + 0.25 * (density[0] - density[1]) / (mass[1] - mass[0])
    assert shares.mean() == pytest.approx(mean, abs=4 * shares.std() / math.sqrt(len(shares)))
    assert 0.7 <= shares.min() < 0.71
    assert 0.99 < shares.max() <= 1.0


@pytest.mark.parametrize(("share", "bound"), [(0.0, 0.0), (0.5, 0.06), (1.0, 0.0)])
def test_a_share_of_the_pictures_is_permuted(share: float, bound: float) -> None:
    steps = Permuted(share).training_steps(1000, line(9), Rng(4))
    assert steps.sort(1).values.eq(torch.arange(1, 10)).all()
    permuted = steps.ne(torch.arange(1, 10)).any(1)
    assert float(permuted.float().mean()) == pytest.approx(share, abs=bound)
    if share == 1.0:
        assert steps.float().mean(0).tolist() == pytest.approx([5.0] * 9, abs=0.35)  # every place comes at any time


def test_permuted_pictures_are_drawn_in_raster() -> None:
    assert Permuted().decoding_steps(2, line(4), None, Rng(0)).tolist() == [[1, 2, 3, 4]] * 2
    with pytest.raises(InputError, match="4 tokens in 4 steps, not 3"):
        Permuted().decoding_steps(2, line(4), 3, Rng(0))


def test_the_share_falls_from_all_to_none() -> None:
    shares = [annealed_share(progress / 20) for progress in range(21)]
    assert shares == pytest.approx([1.0] * 11 + [0.8, 0.6, 0.4, 0.2] + [0.0] * 6)
    assert [annealed_share(progress, 0.0, 0.0) for progress in (0.0, 0.5, 1.0)] == [0.0] * 3  # raster alone


def test_rows_are_masked_by_shares_of_their_own() -> None:
    """``acos(u) / (pi/2)`` has mean 2/pi, and ``acos(1/2) / (pi/2) = 2/3`` for its median; one token at least."""
    steps = ArccosMasked().training_steps(4000, line(64), Rng(0))
    share = steps.float().mean(1)
    assert set(steps.unique().tolist()) == {0, 1}
    assert float(share.mean()) == pytest.approx(2 / math.pi, abs=0.02)
    assert float(share.median()) == pytest.approx(2 / 3, abs=0.02)
    assert ArccosMasked().training_steps(4000, line(2), Rng(0)).sum(1).min() == 1


def test_diagonals_go_from_near_to_far() -> None:
    assert Diagonals().training_steps(2, Layout(((3, 3),)), Rng(0)).tolist() == [[1, 2, 3, 2, 3, 4, 3, 4, 5]] * 2
    assert Diagonals().decoding_steps(1, Layout(((2, 3),)), 4, Rng(0)).tolist() == [[1, 2, 3, 2, 3, 4]]
    assert int(Diagonals().decoding_steps(1, Layout(((16, 16),)), None, Rng(0)).max()) == 31
    assert Diagonals().training_steps(1, Layout(((2, 2, 2),)), Rng(0)).tolist() == [[1, 2, 2, 3, 2, 3, 3, 4]]
    with pytest.raises(InputError, match="9 tokens in 5 steps, not 3"):
        Diagonals().decoding_steps(1, Layout(((3, 3),)), 3, Rng(0))
    with pytest.raises(InputError, match="tokens of one grid, not of 2: choose Scales"):
        Diagonals().training_steps(1, Layout(((1, 1), (2, 2))), Rng(0))


@pytest.mark.parametrize(
    ("grid", "cell", "steps"),
    [
        ((2, 4), (1, 1), [1, 2, 3, 4, 5, 6, 7, 8]),
        ((2, 4), (2, 2), [1, 1, 2, 2, 1, 1, 2, 2]),
        ((2, 4), (1, 4), [1, 1, 1, 1, 2, 2, 2, 2]),
        ((8,), (2,), [1, 1, 2, 2, 3, 3, 4, 4]),
        ((2, 4), (2, 4), [1] * 8),
        ((2, 2, 2), (1, 2, 2), [1, 1, 1, 1, 2, 2, 2, 2]),
    ],
)
def test_cells_go_from_tokens_to_the_whole_picture(
    grid: tuple[int, ...], cell: tuple[int, ...], steps: list[int]
) -> None:
    assert Cells(cell).training_steps(2, Layout((grid,)), Rng(0)).tolist() == [steps] * 2
    assert Cells(cell).decoding_steps(1, Layout((grid,)), max(steps), Rng(0)).tolist() == [steps]


def test_cells_that_do_not_fit_are_refused() -> None:
    layout = Layout(((2, 4),))
    with pytest.raises(InputError, match="a grid of 2 x 4 tokens cannot be cut into cells of 1: "):
        Cells((1,)).training_steps(1, layout, Rng(0))
    with pytest.raises(InputError, match="cells of 2 x 3"):
        Cells((2, 3)).training_steps(1, layout, Rng(0))
    with pytest.raises(InputError, match="8 tokens in 2 steps, not 3"):
        Cells((2, 2)).decoding_steps(1, layout, 3, Rng(0))

from __future__ import annotations

import numpy as np
import pytest


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says():
    from limner.evaluate.statistics import bootstrap_mean

    rng = np.random.default_rng(0)
    intervals = [bootstrap_mean(rng.normal(3.0, 2.0, 40).tolist(), level=0.9, resamples=400) for _ in range(200)]
    covered = sum(interval.low <= 3.0 <= interval.high for interval in intervals)
    assert 165 <= covered <= 195


def test_the_interval_has_the_normal_width():
    from limner.evaluate.statistics import bootstrap_mean

    values = np.random.default_rng(1).normal(0, 1, 400)
    interval = bootstrap_mean(values.tolist())
    assert interval.mean == pytest.approx(values.mean())
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.05)


def test_equal_seeds_give_equal_intervals():
    from limner.evaluate.statistics import bootstrap_mean

    assert bootstrap_mean([1.0, 2.0, 4.0], seed=5) == bootstrap_mean([1.0, 2.0, 4.0], seed=5)
    assert bootstrap_mean([7.0]) == (7.0, 7.0, 7.0)


def test_pairing_removes_what_both_share():
    from limner.evaluate.statistics import bootstrap_difference

    rng = np.random.default_rng(2)
    shared = rng.normal(0, 10, 30)
    first, second = (shared + 1.0).tolist(), (shared + rng.normal(0, 0.1, 30)).tolist()
    paired, unpaired = (bootstrap_difference(first, second, paired=p) for p in (True, False))
    assert paired.mean == pytest.approx(unpaired.mean)
    assert paired.low > 0.9
    assert unpaired.low < 0 < unpaired.high


def test_unusable_values_are_refused():
    from limner.errors import InputError
    from limner.evaluate.statistics import bootstrap_difference, bootstrap_mean

    for values in ([], [1.0, float("nan")]):
        with pytest.raises(InputError, match="finite numbers"):
            bootstrap_mean(values)
    with pytest.raises(InputError, match="not pairs"):
        bootstrap_difference([1.0], [1.0, 2.0], paired=True)

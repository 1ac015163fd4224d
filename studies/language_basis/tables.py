"""Tables of what was measured, as rows of text: means over seeds with their 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

from limner.evaluate.statistics import Interval
from studies.language_basis.arms import ARMS, RANKS, SHARES
from studies.language_basis.evidence import (
    Read,
    Values,
    interval,
    minus,
    of_kinds,
    overall,
    under_noise,
    values,
)
from studies.language_basis.hypotheses import (
    COARSE,
    FINE,
)
from studies.language_basis.measures import SIGMAS
from studies.language_basis.plan import (
    FAMILIES,
    FEW_SCENES,
    GRID,
    SIZED,
    Cell,
    Results,
)
from studies.language_basis.plots import (
    GREEN,
    GREY,
    INDIGO,
    ORANGE,
    RED,
)
from studies.language_basis.world import KINDS, VOCABULARY

SHORT = {
    "mlp": "MLP",
    "mlp-normed": "MLP, normed",
    "mlp-preconditioned": "MLP, preconditioned",
    "free-words": "unconstrained, words",
    "free-matched": "unconstrained, random rows",
    "free-permuted": "unconstrained, permuted",
    "soft-words": "softmax, words",
    "soft-matched": "softmax, random rows",
    "soft-learned": "softmax, learned table",
    "few-words": "top-8, words",
    "few-matched": "top-8, random rows",
}
FAMILY = {
    "svd": ("principal directions", INDIGO),
    "clusters": ("clusters of words", GREEN),
    "frequent": ("frequent words", ORANGE),
    "subset": ("words at random", RED),
    "random": ("random directions", GREY),
}
MISSING = "not measured"
Table: TypeAlias = tuple[list[str], list[list[str]]]


def percent(some: Interval) -> str:
    """A mean with its interval, in percent."""
    if math.isnan(some.mean):
        return MISSING
    return f"{100 * some.mean:.1f} ({100 * some.low:.1f} to {100 * some.high:.1f})"


def signed(some: Interval) -> str:
    """A difference with its interval, in points."""
    if math.isnan(some.mean):
        return MISSING
    return f"{100 * some.mean:+.1f} ({100 * some.low:+.1f} to {100 * some.high:+.1f})"


def kinds_table(results: Results, arms: Sequence[str]) -> Table:
    """Accuracy of arms at all scenes, by kind of question."""
    rows = []
    for arm in arms:
        scores = [interval(values(results, Cell(arm)))]
        scores += [interval(values(results, Cell(arm), of_kinds(kind))) for kind in KINDS]
        rows.append([ARMS[arm].title, percent(scores[0]), *(f"{100 * one.mean:.1f}" for one in scores[1:])])
    return ["accuracy, %", "all (95 %)", *KINDS], rows


def size_table(results: Results) -> Table:
    """Accuracy by scenes, and its area over their logarithm."""
    rows = []
    for arm in SIZED:
        at = [values(results, Cell(arm, size)) for size in GRID]
        rows.append([ARMS[arm].title, *(percent(interval(some)) for some in at), percent(interval(area(at)))])
    return ["accuracy, %", *(f"{size:,} scenes" for size in GRID), "area"], rows


def area(at: Sequence[Values]) -> Values:
    """Mean accuracy over the logarithm of the scenes (trapezoids; the grid is even in it)."""
    seeds = set.intersection(*(set(some) for some in at))
    weights = [0.5, *[1.0] * (len(at) - 2), 0.5]
    total = sum(weights)
    return {s: sum(w * some[s] for w, some in zip(weights, at, strict=True)) / total for s in sorted(seeds)}


def noise_table(results: Results) -> Table:
    """Accuracy under noise."""
    rows = []
    for arm in SIZED:
        heard = [percent(interval(values(results, Cell(arm), under_noise(sigma)))) for sigma in SIGMAS]
        rows.append([ARMS[arm].title, percent(interval(values(results, Cell(arm)))), *heard])
    return ["accuracy, %", "no noise", *(f"noise {sigma:g}" for sigma in SIGMAS)], rows


def over_table(results: Results) -> Table:
    """Convex arms over words less what they are compared with, where it may matter."""
    pairs = [("soft-words", other) for other in ("mlp", "mlp-normed", "soft-matched", "soft-learned")]
    pairs += [("few-words", other) for other in ("mlp", "few-matched")]
    cells: list[tuple[str, int, Read]] = [(f"{size:,} scenes", size, overall) for size in GRID]
    cells += [(f"noise {sigma:g}", GRID[-1], under_noise(sigma)) for sigma in SIGMAS]
    rows = []
    for first, second in pairs:
        gaps = [minus(*(values(results, Cell(arm, n), read) for arm in (first, second))) for _, n, read in cells]
        rows.append([f"{SHORT[first]} less {SHORT[second]}", *(signed(interval(gap)) for gap in gaps)])
    return ["points (95 %)", *(name for name, _, _ in cells)], rows


def turned_table(results: Results) -> Table:
    """How far noise turns vectors, seen from their mean."""
    rows = []
    for arm in SIZED:
        at = [interval(values(results, Cell(arm), under_noise(sigma, "turned"))).mean for sigma in SIGMAS]
        rows.append([ARMS[arm].title, *(f"{one:.3f}" for one in at)])
    return ["mean-centred cosine distance", *(f"noise {sigma:g}" for sigma in SIGMAS)], rows


def rank_table(results: Results) -> Table:
    """Accuracy by family and rank."""
    rows = [
        [FAMILY[name][0], *(percent(interval(values(results, Cell(f"{name}-{rank}")))) for rank in RANKS)]
        for name in FAMILIES
    ]
    for text, kinds in (("SVD: colour, shape", COARSE), ("SVD: place, number", FINE)):
        read = of_kinds(*kinds)
        rows.append([text, *(percent(interval(values(results, Cell(f"svd-{rank}"), read))) for rank in RANKS)])
    return ["accuracy, %", *(f"rank {rank}" for rank in RANKS)], rows


def share_table(results: Results) -> Table:
    """Softmax over the most frequent words."""
    cells = [(f"{count} words ({count / VOCABULARY:.0%})", f"soft-frequent-{count}") for count in SHARES]
    cells.append((f"all {VOCABULARY}", "soft-words"))
    row = [percent(interval(values(results, Cell(arm)))) for _, arm in cells]
    return ["softmax over", *(name for name, _ in cells)], [["accuracy, %", *row]]


def leak_table(results: Results) -> Table:
    """How much goes past the words."""
    rows = []
    for ross in ("none", "denoising"):
        some = values(results, Cell("soft-words-leak", FEW_SCENES, ross=ross), lambda one: one["leak"])
        rows.append([ross, f"{interval(some).mean:.3f}"])
    return ["given back by", "length of the leak, of a vector's"], rows


def words_table(results: Results) -> Table:
    """Unsupervised readings: is a thing's word among the five that weigh most where it lies?"""
    arms = ("free-words", "free-matched", "soft-words", "soft-matched", "few-words", "few-matched")
    named = ("colour", "shape", "size", "place")
    rows = [
        [ARMS[arm].title, *(percent(interval(values(results, Cell(arm), _named(name)))) for name in named)]
        for arm in arms
    ]
    return ["among the five heaviest, %", *named], rows


def _named(name: str) -> Read:
    return lambda result: result["words"][name]

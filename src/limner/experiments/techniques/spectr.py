"""SpecTr: the law and the acceptance of K-SEQ, every set of drafts counted, and passes by the number of paths."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from limner.decode.decoder import Decoder
from limner.evaluate.statistics import over_seeds
from limner.experiments.claims import Comparison, Measured
from limner.experiments.experiment import Experiment
from limner.experiments.techniques.drafts import Change, drafted, falls
from limner.recipes.techniques.spectr import Knobs, apply, rate, smallest_rho
from limner.types import Rng

IDS, DRAFTS, PAIRS, WINDOW = 5, 3, 40, 4
ROUNDING = 1e-9


def laws(seed: int, number: int) -> tuple[Any, Any]:
    """A pair of random laws."""
    logits = 2 * Rng(1000 * seed + number).normal(2, IDS).double()
    p, q = logits.softmax(-1).numpy()
    return p, q


def drawn_law(p: Any, q: Any) -> Any:
    """What K-SEQ draws, by its definition, over all sets of drafts."""
    rho = smallest_rho(p, q, DRAFTS)
    beta, factor = rate(p, q, rho, DRAFTS)
    stays, out = np.minimum(p / (rho * q), 1.0), np.zeros(IDS)
    refused = np.maximum(p - np.minimum(q, p / rho) * factor, 0.0)
    for drafts in product(range(IDS), repeat=DRAFTS):
        left = np.prod(q[list(drafts)])
        for x in drafts:
            out[x] += left * stays[x]
            left *= 1 - stays[x]
    return out + (1 - beta) ** DRAFTS * refused / max(refused.sum(), 1e-300)


def best_acceptance(p: Any, q: Any) -> float:
    """How often one of the drafts can be the token, by linear programming over all couplings."""
    from scipy.optimize import linprog

    sets = list(product(range(IDS), repeat=DRAFTS))
    gain = -np.array([[float(y in drafts) for y in range(IDS)] for drafts in sets]).ravel()
    sums = np.vstack([np.kron(np.eye(len(sets)), np.ones(IDS)), np.kron(np.ones(len(sets)), np.eye(IDS))])
    weights = np.array([np.prod(q[list(drafts)]) for drafts in sets])
    return -float(linprog(gain, A_eq=sums, b_eq=np.concatenate([weights, p])).fun)


def has_the_law(experiment: Experiment) -> Measured:
    """Largest difference to p of what is drawn."""
    found = []
    for seed in experiment.seeds:
        pairs = [laws(seed, number) for number in range(PAIRS)]
        found.append(max(float(np.abs(drawn_law(p, q) - p).max()) for p, q in pairs))
    return max(found) < ROUNDING, {"largest difference of a probability": over_seeds(found)}


def is_near_the_best(experiment: Experiment) -> Measured:
    """The least share of the best coupling's acceptance."""
    found = []
    for seed in experiment.seeds:
        shares = []
        for p, q in (laws(seed, number) for number in range(PAIRS)):
            beta, _ = rate(p, q, smallest_rho(p, q, DRAFTS), DRAFTS)
            shares.append((1 - (1 - beta) ** DRAFTS) / best_acceptance(p, q))
        found.append(min(shares))
    return min(found) >= BOUND, {"least share of the best": over_seeds(found)}


def with_paths(count: int) -> Change:
    """So many paths of the small model's drafts."""
    draft = drafted(WINDOW)

    def change(experiment: Experiment, seed: int, decoder: Decoder) -> Decoder:
        return apply(draft(experiment, seed, decoder), Knobs(count, WINDOW))

    return change


BOUND = 1 - (1 - 1 / DRAFTS) ** DRAFTS
CLAIMS = (
    Comparison((), "law of what is drawn - p: 0", f"a probability off by {ROUNDING:g} or more", has_the_law),
    Comparison((), f"acceptance over the best: at least {BOUND:.3f}", "a pair of laws with less", is_near_the_best),
    falls(
        "passes",
        {"1 path": with_paths(1), "4 paths": with_paths(4), "8 paths": with_paths(8)},
        "a gap in passes whose interval holds 0",
    ),
)

"""Was the picture needed? Multi-modal gain and leakage on a set of questions (arXiv:2403.20330, Section 4.3).

With the scores of a model with pictures, of the same model without, and of its language base before any multi-modal
training (S_wv, S_ov and S_t in the paper)::

    MG = S_with - S_without                 what the pictures gave                                Eq. 1
    ML = max(0, S_without - S_base)         what multi-modal training had seen before             Eq. 2

Scores are means over questions of the mean over a question's trials, in [0, 1]; intervals are 95 % bootstraps over
questions, paired, since all three answer the same ones. Flags of single questions: `limner.evaluate.flags`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from limner.data.question_sets import FLAGS, Item, Trial
from limner.evaluate.asking import ReadFn, picks, read_first_letter, rights
from limner.evaluate.extraction import read_option
from limner.evaluate.flags import ALPHA, MOST_LUCK, Group, Picks, raise_flags
from limner.evaluate.protocol import Protocol
from limner.evaluate.report import report
from limner.evaluate.statistics import Interval, bootstrap_mean

RESAMPLES = 1_000  # enough for percentile intervals (Efron and Tibshirani 1993, ch. 13)
ARMS = ("with_image", "without_image", "base")


@dataclass(frozen=True)
class Verdict:
    """A question: shares of right trials per arm, its flags, and those planted (None: not known)."""

    id: str
    category: str
    with_image: float
    without_image: float
    base: float
    text: bool
    question: bool
    leaked: bool
    planted: frozenset[str] | None = None


@dataclass(frozen=True)
class Part:
    """A category, or all: how many questions, scores, gain and leakage with intervals, and how many bear each flag."""

    questions: int
    with_image: Interval
    without_image: Interval
    base: Interval
    gain: Interval
    leakage: Interval
    flagged: Mapping[str, int]


@dataclass(frozen=True)
class Audit:
    """What the three answer sets say about a model and a question set.

    ``unread`` and ``first_letter`` by arm: share of answers without a readable pick, and the score under MMStar's
    official rule (questions with options only). ``luck`` by arm and group: share of the right answers without a picture
    that a habit explains; above ``MOST_LUCK`` the group has no flags from that arm. ``found`` by flag: precision and
    recall, where what was planted is known.
    """

    verdicts: tuple[Verdict, ...]
    total: Part
    categories: Mapping[str, Part]
    unread: Mapping[str, float]
    first_letter: Mapping[str, float]
    luck: Mapping[str, Mapping[Group, float]]
    found: Mapping[str, tuple[float, float]]


def audit(
    items: Sequence[Item],
    with_image: Sequence[Trial],
    without_image: Sequence[Trial],
    bases: Sequence[Sequence[Trial]],
    *,
    read: ReadFn = read_option,
    alpha: float = ALPHA,
    most_luck: float = MOST_LUCK,
) -> Audit:
    """Audit a model by its answers with and without pictures and those of language models that see none.

    ``bases``: the model's own language base first (S_base is its score); any others only help to find what text alone
    answers. ``read``: how an option is read from an answer.
    """
    sets = {arm: picks(items, trials, read) for arm, trials in zip(ARMS, (with_image, without_image, bases[0]))}
    others = [picks(items, trials, read) for trials in bases[1:]]
    blind, base = sets["without_image"], sets["base"]
    raised = raise_flags(items, blind, [base, *others], alpha=alpha, most_luck=most_luck)
    seen, unseen, of_base = (scores_of(items, sets[arm]) for arm in ARMS)
    verdicts = tuple(
        Verdict(id, item.category, seen[id], unseen[id], of_base[id], *raised.flags[id], item.planted)
        for id, item in ((item.id, item) for item in items)
    )
    categories = sorted({item.category for item in items})
    chosen = [item for item in items if item.options]
    letters = zip(ARMS, (with_image, without_image, bases[0]), strict=True) if chosen else ()
    return Audit(
        verdicts,
        part(verdicts),
        {category: part([v for v in verdicts if v.category == category]) for category in categories},
        {arm: _unread(picked) for arm, picked in sets.items()},
        {arm: _first_letter(chosen, trials) for arm, trials in letters},
        raised.luck,
        retrieval(verdicts),
    )


def scores_of(items: Sequence[Item], picked: Picks) -> dict[str, float]:
    """Share of right trials per question."""
    right = rights(items)
    return {id: sum(pick in right[id] for pick in made) / len(made) for id, made in picked.items()}


def part(verdicts: Sequence[Verdict]) -> Part:
    """Scores, gain, leakage and flags of some questions."""
    arms = {arm: [getattr(verdict, arm) for verdict in verdicts] for arm in ARMS}
    seen, blind, base = (arms[arm] for arm in ARMS)
    surplus = _mean([a - b for a, b in zip(blind, base, strict=True)])
    return Part(
        questions=len(verdicts),
        **{arm: _mean(values) for arm, values in arms.items()},
        gain=_mean([a - b for a, b in zip(seen, blind, strict=True)]),
        leakage=Interval(*(max(0.0, value) for value in surplus)),
        flagged={flag: sum(getattr(verdict, flag) for verdict in verdicts) for flag in FLAGS},
    )


def retrieval(verdicts: Sequence[Verdict]) -> dict[str, tuple[float, float]]:
    """Precision and recall of each flag over the questions whose truth is known; no entry where none is planted."""
    found = {}
    for flag in FLAGS:
        raised = [verdict for verdict in verdicts if verdict.planted is not None and getattr(verdict, flag)]
        planted = [verdict for verdict in verdicts if verdict.planted is not None and flag in verdict.planted]
        hits = sum(flag in (verdict.planted or ()) for verdict in raised)
        if planted:
            found[flag] = hits / max(len(raised), 1), hits / len(planted)
    return found


def audit_report(result: Audit, items: Sequence[Item], *, model: str, reference: str, reader: str) -> dict[str, Any]:
    """The object that ``limner audit --json`` prints: ``{"model", "protocol", "weights", "scores", "hash"}`` as
    ``limner evaluate`` does, and "intervals", "categories", "luck", "found" and "questions" beside them."""
    total = result.total
    scores = {f"audit/{name}": getattr(total, name).mean for name in (*ARMS, "gain", "leakage")}
    scores |= {f"flagged/{flag}": count / total.questions for flag, count in total.flagged.items()}
    scores |= {f"unread/{arm}": share for arm, share in result.unread.items()}
    scores |= {f"first_letter/{arm}": score for arm, score in result.first_letter.items()}
    protocol = Protocol(
        reference=reference, count=total.questions, size=0, judge=reader, reference_hash=questions_hash(items)
    )
    return report(model, "", protocol, scores) | {
        "intervals": {f"audit/{name}": list(getattr(total, name)[1:]) for name in (*ARMS, "gain", "leakage")},
        "categories": {name: asdict(one) for name, one in result.categories.items()},
        "luck": {
            arm: [{"category": group[0], "options": group[1], "luck": round(luck, 4)} for group, luck in of_arm.items()]
            for arm, of_arm in result.luck.items()
        },
        "found": {flag: {"precision": p, "recall": r} for flag, (p, r) in result.found.items()},
        "questions": [
            {key: value for key, value in vars(verdict).items() if key != "planted"} for verdict in result.verdicts
        ],
    }


def questions_hash(items: Sequence[Item]) -> str:
    """Sixteen hexadecimal digits over questions and right answers."""
    content = [(item.id, item.question, item.options, item.answers, item.category) for item in items]
    return hashlib.sha256(repr(content).encode()).hexdigest()[:16]


def withheld(result: Audit, most_luck: float = MOST_LUCK) -> dict[str, tuple[str, ...]]:
    """By arm, the categories without flags from it, because too many of its right answers there are luck."""
    return {
        arm: tuple(sorted({category for (category, _), share in luck.items() if share > most_luck}))
        for arm, luck in result.luck.items()
    }


def _mean(values: Sequence[float]) -> Interval:
    return bootstrap_mean(values, resamples=RESAMPLES)


def _unread(picked: Picks) -> float:
    made = [pick for picks in picked.values() for pick in picks]
    return sum(pick is None for pick in made) / len(made)


def _first_letter(items: Sequence[Item], trials: Sequence[Trial]) -> float:
    ids = {item.id for item in items}
    picked = picks(items, [trial for trial in trials if trial.id in ids], read_first_letter)
    return sum(scores_of(items, picked).values()) / len(items)

"""The verdicts: five hypotheses as pure functions of results, with the bounds they were registered with.

holds            every part of the statement is met
does not hold    enough seeds, and some part is not met
falsified        the condition is met that was named in advance to refute it
undecided        fewer than five seeds of something that it needs
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from limner.evaluate.statistics import Interval
from studies.language_basis.arms import RANKS, SHARES
from studies.language_basis.evidence import (
    Values,
    drawings,
    enough,
    found,
    interval,
    jointly,
    mean,
    minus,
    of_kinds,
    overall,
    under_noise,
    values,
)
from studies.language_basis.joint import BOTH
from studies.language_basis.plan import FAMILIES, FEW_SCENES, GRID, Cell, Results
from studies.language_basis.pretrained import WIDTH
from studies.language_basis.trial import partner

POINT = 0.01
SHORT = tuple(size for size in GRID if size <= 0.05 * GRID[-1])
LOUD = (1.0, 2.0, 3.0)
CONVEX = ("soft", "few")
COARSE, FINE = ("colour", "shape"), ("position", "count")
EQUAL_CURVES = 0.05  # of the loss, on average over the second half of training
KEPT, CHANCE = 0.8, 0.1  # of native accuracy above chance


@dataclass(frozen=True)
class Part:
    """One clause of a hypothesis: was it met, and by what number?"""

    text: str
    met: bool
    measured: Interval
    seeds: int


@dataclass(frozen=True)
class Verdict:
    """What became of a hypothesis."""

    name: str
    outcome: str
    parts: Sequence[Part] = field(default_factory=tuple)

    @property
    def holds(self) -> bool:
        return self.outcome == "holds"


def part(text: str, some: Values, met: bool) -> Part:
    """A clause about numbers by seed."""
    return Part(text, met, interval(some), len(some))


def decided(name: str, parts: Sequence[Part], complete: bool, falsified: bool = False) -> Verdict:
    """The verdict that the clauses come to."""
    if not complete:
        return Verdict(name, "undecided", parts)
    if falsified:
        return Verdict(name, "falsified", parts)
    return Verdict(name, "holds" if all(one.met for one in parts) else "does not hold", parts)


def empty_constraint(results: Results) -> Verdict:
    """H1: unconstrained words, matched random rows and an MLP are the same to within a point, and learn alike;
    falsified if words beat random rows by two points beyond doubt."""
    words, matched, mlp = (values(results, Cell(arm)) for arm in ("free-words", "free-matched", "mlp"))
    over_mlp, over_random = minus(words, mlp), minus(words, matched)
    apart = curves_apart(results, "free-words", "free-matched")
    parts = (
        part("words less MLP: under a point either way", over_mlp, abs(mean(over_mlp)) < POINT),
        part("words less matched random rows: under a point either way", over_random, abs(mean(over_random)) < POINT),
        part(
            "loss of words less that of random rows, second half: under 5 % of it",
            apart,
            abs(mean(apart)) < EQUAL_CURVES,
        ),
    )
    refuted = interval(over_random).mean >= 2 * POINT and interval(over_random).low > 0
    return decided("H1", parts, enough(over_mlp, over_random), refuted)


def curves_apart(results: Results, first: str, second: str) -> Values:
    """How much larger one arm's training loss is than another's, as a share, on average over the second half."""
    one, other = (found(results, Cell(arm)) for arm in (first, second))
    apart = {}
    for seed in one.keys() & other.keys():
        pairs = list(zip(one[seed]["curve"], other[seed]["curve"], strict=True))
        late = pairs[len(pairs) // 2 :]
        apart[seed] = sum((a - b) / b for a, b in late) / len(late)
    return apart


def short_or_noisy(results: Results) -> Verdict:
    """H2: some convex arm over words beats the MLP by three points where data are short or noisy, and beats or loses
    by no more than a tie (a point) at full clean data."""
    helps, ties, complete = [], [], True
    for phi in CONVEX:
        full = minus(values(results, Cell(f"{phi}-words")), values(results, Cell("mlp")))
        ties.append((phi, full))
        for text, gain in hard(results, f"{phi}-words", "mlp"):
            complete = complete and enough(gain)
            helps.append((f"{phi}: {text}", gain))
    best = max(helps, key=lambda one: mean(one[1])) if complete else helps[0]
    who = best[0].split(":")[0]
    full = dict(ties)[who]
    parts = (
        part(
            f"best of all, {best[0]}: three points over the MLP",
            best[1],
            mean(best[1]) >= 3 * POINT and interval(best[1]).low > 0,
        ),
        part(f"{who}, all scenes without noise: at most a point over the MLP", full, mean(full) <= POINT),
    )
    return decided("H2", parts, complete and enough(*dict(ties).values()))


def hard(results: Results, first: str, second: str) -> list[tuple[str, Values]]:
    """Differences of two arms where data are short, and where features are noisy."""
    short = [
        (f"{size} scenes", minus(*(values(results, Cell(arm, size)) for arm in (first, second)))) for size in SHORT
    ]
    loud = [
        (f"noise {sigma:g}", minus(*(values(results, Cell(arm), under_noise(sigma)) for arm in (first, second))))
        for sigma in LOUD
    ]
    return short + loud


def beats_control(results: Results) -> tuple[list[tuple[str, Values]], int]:
    """Where a convex arm over words beats the same over matched random rows beyond doubt (the stopping rule asks), and
    how often they were compared."""
    compared = []
    for phi in CONVEX:
        words, control = f"{phi}-words", f"{phi}-matched"
        whole = minus(values(results, Cell(words)), values(results, Cell(control)))
        cells = [("all scenes", whole), *hard(results, words, control)]
        compared += [(f"{phi}, {text}", gap) for text, gap in cells if enough(gap)]
    return [(text, gap) for text, gap in compared if interval(gap).low > 0], len(compared)


def knee(results: Results) -> Verdict:
    """H3: a quarter of the directions, or a tenth of the words, are enough; principal directions are as good as
    clusters, those better than frequent words, and those better than any; fine attributes need more."""
    whole, mixed = values(results, Cell("free-words")), values(results, Cell("soft-words"))
    quarter = minus(values(results, Cell(f"svd-{WIDTH // 4}")), whole)
    tenth = minus(values(results, Cell(f"soft-frequent-{SHARES[1]}")), mixed)
    parts = [
        part("SVD of a quarter of the channels: within a point of all", quarter, mean(quarter) > -POINT),
        part("a tenth of the words, softmax: within a point of all", tenth, mean(tenth) > -POINT),
    ]
    steps = [pooled(results, first, second) for first, second in pairwise(FAMILIES[:4])]
    texts = ("SVD at least as good as clusters", "clusters better than frequent words", "frequent better than random")
    for place, (text, gap) in enumerate(zip(texts, steps, strict=True)):
        met = interval(gap).high >= 0 if place == 0 else interval(gap).low > 0
        parts.append(part(f"{text}, mean over equal ranks", gap, met))
    later = minus(loss_of_rank(results, FINE), loss_of_rank(results, COARSE))
    parts.append(part("rank costs place and number more than colour and shape", later, interval(later).low > 0))
    return decided("H3", parts, enough(quarter, tenth, *steps, later))


def pooled(results: Results, first: str, second: str) -> Values:
    """Difference of two families of bases, on average over ranks."""
    gaps = [minus(*(values(results, Cell(f"{name}-{r}")) for name in (first, second))) for r in RANKS]
    return {seed: sum(gap[seed] for gap in gaps) / len(gaps) for seed in gaps[0] if all(seed in gap for gap in gaps)}


def loss_of_rank(results: Results, kinds: tuple[str, ...]) -> Values:
    """What some kinds of question lose by SVD, of what all directions give, on average over ranks."""
    read = of_kinds(*kinds)
    whole = values(results, Cell("free-words"), read)
    gaps = [minus(whole, values(results, Cell(f"svd-{rank}"), read)) for rank in RANKS]
    return {seed: sum(gap[seed] for gap in gaps) / len(gaps) for seed in whole if all(seed in gap for gap in gaps)}


def transfer(results: Results) -> Verdict:
    """H4: coefficients over words keep four fifths of what is native to another language model, without training;
    permuted words and another random basis keep nothing; free coefficients keep less than few."""
    parts, complete = [], True
    for where in ("second", "wide"):
        kept = kept_by(results, "few-words", where)
        parts.append(part(f"top-k, {where} language model: keeps 80 %", kept, mean(kept) >= KEPT))
        for text, some in (
            ("its words permuted", kept_by(results, "few-words", where, "permuted")),
            ("softmax over another random basis", kept_by(results, "soft-matched", where)),
        ):
            parts.append(part(f"{text}, {where}: keeps under 10 %", some, mean(some) < CHANCE))
        gap = minus(kept, kept_by(results, "free-words", where))
        parts.append(part(f"top-k keeps more than free coefficients, {where}", gap, interval(gap).low > 0))
        complete = complete and enough(kept, gap)
    return decided("H4", parts, complete)


def kept_by(results: Results, arm: str, where: str, how: str = "words") -> Values:
    """Share of the accuracy above chance of the same arm trained for the other language model that is kept by what was
    trained for this one; chance is the answer about another scene's picture."""
    home = found(results, Cell(arm))
    away = found(results, Cell(arm.replace("matched", "words"), wide=where == "wide"))
    kept = {}
    for seed, result in home.items():
        native = away.get(seed if where == "wide" else partner(seed))
        if native is None or f"swap-{where}" not in result:
            continue
        chance, best = native["others"], overall(native)
        kept[seed] = (result[f"swap-{where}"][how] - chance) / max(best - chance, POINT)
    return kept


def reconstruction(results: Results) -> Verdict:
    """H5, its first half: giving pictures back raises place and number through words by twice what it does for an MLP
    (difference in differences)."""
    gains = {arm: given_back(results, arm, "denoising") for arm in ("mlp", "soft-words")}
    words, mlp = gains["soft-words"], gains["mlp"]
    more = minus(words, mlp)
    shuffled = given_back(results, "soft-words", "shuffled")
    parts = (
        part("words gain by it", words, interval(words).low > 0),
        part("words gain more than the MLP", more, interval(more).low > 0),
        part("and twice as much", minus(more, mlp), mean(words) >= 2 * mean(mlp)),
        part("words gain less by another scene's picture", shuffled, mean(shuffled) < mean(words)),
    )
    return decided("H5", parts, enough(words, mlp, shuffled))


def sharing(results: Results) -> Verdict:
    """H5, its second half: learning to draw along, through the words, makes answers or drawings better than learning
    either alone, and the other no more than a point worse; more so than where drawn tokens have an input of their own,
    and, of answers, than beside drawings of other captions. The better of the two ways is judged."""
    reads = {"answers": overall, "drawings": drawings}
    alone = {"answers": "see", "drawings": "draw"}
    both = {way: {arm: jointly(results, arm, read) for arm in (*BOTH, alone[way])} for way, read in reads.items()}
    gains = {way: minus(some["shared"], some[alone[way]]) for way, some in both.items()}
    way, other = ("answers", "drawings") if best_is_first(*gains.values()) else ("drawings", "answers")
    over_own = minus(both[way]["shared"], both[way]["separate"])
    parts = [
        part(f"learnt together, through the words: {way} gain", gains[way], interval(gains[way]).low > 0),
        part(f"{other} lose no more than a point", gains[other], mean(gains[other]) >= -POINT),
        part(f"{way} gain more than with an input of its own", over_own, interval(over_own).low > 0),
    ]
    complete = enough(*gains.values(), over_own)
    if way == "answers":
        beside = minus(both["answers"]["shuffled"], both["answers"]["see"])
        text = "answers gain less beside drawings of other captions"
        parts.append(part(text, beside, mean(beside) < mean(gains["answers"])))
        complete = complete and enough(beside)
    return decided("H5", parts, complete)


def best_is_first(first: Values, second: Values) -> bool:
    """Is the first gain at least as sure as the second?"""
    return not first or not second or interval(first).low >= interval(second).low


def given_back(results: Results, arm: str, ross: str) -> Values:
    """What giving pictures back adds to an arm, in place and number."""
    read = of_kinds(*FINE)
    return minus(values(results, Cell(arm, FEW_SCENES, ross=ross), read), values(results, Cell(arm, FEW_SCENES), read))


def repaired_and_shared(results: Results) -> Verdict:
    """H5, both halves."""
    halves = (reconstruction(results), sharing(results))
    parts = [one for half in halves for one in half.parts]
    return decided("H5", parts, all(half.outcome != "undecided" for half in halves))


ALL = (empty_constraint, short_or_noisy, knee, transfer, repaired_and_shared)


def verdicts(results: Results) -> list[Verdict]:
    """All five."""
    return [judge(results) for judge in ALL]


def stopping_rule(results: Results) -> str | None:
    """If H1 holds and nothing in H2 beats its random control, the adapter is for reading and moving, not accuracy."""
    if empty_constraint(results).holds and not beats_control(results)[0]:
        return (
            "The stopping rule applies: H1 holds and no convex arm beats its random-basis control, so the adapter is "
            "to be described as interpretability and transfer, not accuracy."
        )
    return None

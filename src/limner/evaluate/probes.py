"""Does a model see what is not there? Yes/no probes of POPE (Li et al., arXiv:2305.10355) from lists of what is there.

As many questions about present nouns (yes) as about absent ones (no). The absent ones are drawn in three ways, each
harder for a model that expects instead of looking: at random from all nouns, the most popular of the set, or the one
seen most often together with the present noun (adversarial).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import Literal, NamedTuple, TypeAlias, get_args

from limner.data.question_sets import Item, Trial
from limner.data.scenes.language import article
from limner.data.scenes.scene import Scene, random_for
from limner.errors import InputError
from limner.evaluate.extraction import read_yes_no
from limner.evaluate.yes_no import label

Negatives: TypeAlias = Literal["random", "popular", "adversarial"]
ReadYesNo: TypeAlias = Callable[[str, str], bool | None]  # (the response, the question) -> yes, no or neither
KINDS: tuple[Negatives, ...] = get_args(Negatives)


class Probe(NamedTuple):
    """Is there a ``noun`` in picture number ``picture``? Yes if ``present``."""

    picture: int
    noun: str
    present: bool


def probes(pictures: Sequence[Sequence[str]], negatives: Negatives, *, count: int = 3, seed: int = 0) -> list[Probe]:
    """``count`` present and ``count`` absent nouns for every picture that shows so many different ones.

    ``pictures`` lists what each shows. No noun is asked twice about a picture. Ranks are the official ones: popular by
    the number of pictures, adversarial by the number of pictures shared with the present noun; where all ranked nouns
    are present or were asked, a random one is taken. Raises InputError if no picture shows enough, or if a picture
    lacks too few of all the nouns.
    """
    nouns_of = [tuple(dict.fromkeys(nouns)) for nouns in pictures]
    rank = _ranking(nouns_of, negatives)
    nouns = tuple(dict.fromkeys(noun for picture in nouns_of for noun in picture))
    rng = random_for(seed, "probes", negatives)
    found = []
    for index, present in enumerate(nouns_of):
        absent = [noun for noun in nouns if noun not in present]
        if len(present) < count:
            continue
        if len(absent) < count:
            raise InputError(f"picture {index} lacks {len(absent)} of {len(nouns)} nouns: it cannot be asked {count}")
        for noun in present[:count]:
            missing = _pick(rank(noun), absent, rng)
            absent.remove(missing)
            found += [Probe(index, noun, True), Probe(index, missing, False)]
    if not found:
        raise InputError(f"no picture shows {count} different nouns: ask for fewer per picture")
    return found


def scene_probes(
    scenes: Sequence[Scene],
    negatives: Negatives,
    *,
    count: int = 2,
    seed: int = 0,
    noun_of: Callable[[Scene], Sequence[str]] = lambda scene: [thing.shape for thing in scene.things],
) -> list[tuple[Item, Scene]]:
    """Probes about scenes, as open questions of the category ``probe/random`` and so on, each with its scene."""
    made = probes([noun_of(scene) for scene in scenes], negatives, count=count, seed=seed)
    return [
        (
            Item(
                id=f"{negatives}-{number}",
                question=f"Is there {article(probe.noun)} {probe.noun} in the picture?",
                answers=("yes" if probe.present else "no",),
                category=f"probe/{negatives}",
            ),
            scenes[probe.picture],
        )
        for number, probe in enumerate(made)
    ]


class YesNo(NamedTuple):
    """Scores of yes/no answers, shares between 0 and 1; "yes" is the positive class. ``unread`` ones count as neither
    and are wrong."""

    accuracy: float
    precision: float
    recall: float
    f1: float
    yes: float
    unread: float


def yes_no_scores(
    responses: Sequence[str],
    truth: Sequence[bool],
    read: ReadYesNo = read_yes_no,
    questions: Sequence[str] | None = None,
) -> YesNo:
    """Scores of responses to ``questions``, read by ``read`` (`official_yes_no` for POPE's own numbers); precision is 0
    where no yes was answered. Raises InputError if there is nothing to score."""
    if not responses or len(responses) != len(truth):
        raise InputError(f"{len(responses)} answers to {len(truth)} questions cannot be scored: give one for each")
    rows = zip(responses, questions or [""] * len(responses), truth, strict=True)
    pairs = Counter((read(text, question), right) for text, question, right in rows)
    hits, total = pairs[True, True], len(responses)
    positives, actual = hits + pairs[True, False], sum(truth)
    precision, recall = hits / max(positives, 1), hits / max(actual, 1)
    return YesNo(
        accuracy=(hits + pairs[False, False]) / total,
        precision=precision,
        recall=recall,
        f1=2 * precision * recall / (precision + recall) if hits else 0.0,
        yes=positives / total,
        unread=(pairs[None, True] + pairs[None, False]) / total,
    )


def probe_scores(items: Sequence[Item], trials: Sequence[Trial], read: ReadYesNo = read_yes_no) -> dict[str, YesNo]:
    """Scores of every category in which all questions are open and answered by yes or no, however these are spelled."""
    answers: dict[str, set[bool | None]] = {}
    for item in items:
        truths = {None} if item.options else {label(answer) for answer in item.answers}
        answers.setdefault(item.category, set()).update(truths)
    truth = {item.id: label(item.answers[0]) is True for item in items if None not in answers[item.category]}
    category = {item.id: item.category for item in items}
    question = {item.id: item.question for item in items}
    return {
        name: yes_no_scores([t.response for t in own], [truth[t.id] for t in own], read, [question[t.id] for t in own])
        for name in answers
        if (own := [trial for trial in trials if trial.id in truth and category[trial.id] == name])
    }


def _ranking(nouns_of: Sequence[Sequence[str]], negatives: Negatives) -> Callable[[str], list[str]]:
    """The absent nouns to try, best first, given the present one; ties in order of first appearance."""
    if negatives == "random":
        return lambda noun: []
    if negatives == "popular":
        popular = [noun for noun, _ in Counter(noun for picture in nouns_of for noun in picture).most_common()]
        return lambda noun: popular
    together: dict[str, Counter[str]] = {}
    for picture in nouns_of:
        for noun in picture:
            together.setdefault(noun, Counter()).update(other for other in picture if other != noun)
    return lambda noun: [other for other, _ in together[noun].most_common()]


def _pick(ranked: Sequence[str], absent: Sequence[str], rng: Random) -> str:
    return next((noun for noun in ranked if noun in absent), None) or rng.choice(absent)

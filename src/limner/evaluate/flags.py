"""Which questions need no picture: what a model without pictures knows, told from what it guesses.

A right answer may be luck, in two ways, and both are measured. Luck of the moment: over trials in several orders a
guess falls on one of the m options anew, so an opinion counts as *settled* only if its most frequent pick k of n is
unlikely for a guesser,

    P(Binomial(n, 1/m) >= k) <= alpha.

Luck of the habit: a model that always says "red" is settled, and right wherever the answer is red. But a habit is wrong
m - 1 times as often as right, so the settled answers that are wrong tell how many of the right ones are luck:

    luck = wrong / ((m - 1) right)          in each category, with one more answer of the whole set's kind.

What is settled and right is *known* where luck is small, and where the same words have no other right answer elsewhere
in the set, for then nobody can know.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import comb
from typing import NamedTuple, TypeAlias

from limner.data.question_sets import Item
from limner.evaluate.asking import rights, vocabularies
from limner.evaluate.extraction import named, words

Picks: TypeAlias = Mapping[str, Sequence[int | None]]
Group: TypeAlias = tuple[str, int]  # category, number of options
ALPHA = 0.01  # one guesser in a hundred seems settled
MOST_LUCK = 0.1  # one flag in ten may be luck: the precision of 0.9 that the flags must have


class Opinion(NamedTuple):
    """What a model mostly picks (None: nothing that can be read) and whether that is more than a guess."""

    pick: int | None
    settled: bool


class Flags(NamedTuple):
    """Why a question needs no picture; see `flags`."""

    text: bool
    question: bool
    leaked: bool


@dataclass(frozen=True)
class Knowledge:
    """What a model without pictures knows: ids; ``settled`` ids are right beyond guessing, habits included; ``luck`` by
    group says how many of the right ones are habits."""

    known: frozenset[str]
    settled: frozenset[str]
    picked: frozenset[str]  # the most frequent pick is right, be it a guess
    luck: Mapping[Group, float]


def guess_tail(hits: int, trials: int, chance: float) -> float:
    """``P(Binomial(trials, chance) >= hits)``."""
    return sum(comb(trials, k) * chance**k * (1 - chance) ** (trials - k) for k in range(hits, trials + 1))


def opinion(picked: Sequence[int | None], options: int, alpha: float = ALPHA) -> Opinion:
    """The most frequent pick of several trials; where there are too few for ``alpha``, all must agree."""
    chance, (pick, hits) = 1 / options, Counter(picked).most_common(1)[0]
    bound = max(alpha, chance ** len(picked) * (1 + 1e-9))
    return Opinion(pick, pick is not None and guess_tail(hits, len(picked), chance) <= bound)


def knowledge(items: Sequence[Item], picks: Picks, *, alpha: float = ALPHA, most_luck: float = MOST_LUCK) -> Knowledge:
    """What the picks of a model that saw no picture show it to know."""
    right, groups = rights(items), {item.id: group_of(item, len(v)) for item, v in _with_vocabulary(items)}
    opinions = {item.id: opinion(picks[item.id], groups[item.id][1], alpha) for item in items}
    settled = {id for id, held in opinions.items() if held.settled and held.pick in right[id]}
    wrong = {id for id, held in opinions.items() if held.settled and held.pick not in right[id]}
    share = len(wrong) / max(len(settled) + len(wrong), 1)
    luck = {
        group: luck_of(
            sum(groups[id] == group for id in settled), sum(groups[id] == group for id in wrong), group[1], share
        )
        for group in sorted(set(groups.values()))
    }
    known = {id for id in settled - contradicted(items) if luck[groups[id]] <= most_luck}
    picked = {id for id, held in opinions.items() if held.pick in right[id]}
    return Knowledge(frozenset(known), frozenset(settled), frozenset(picked), luck)


def luck_of(right: int, wrong: int, options: int, share: float) -> float:
    """Share of the right answers that a habit explains; ``share``: of settled answers that are wrong in the whole set,
    which stands for one more answer."""
    error = (wrong + share) / (right + wrong + 1)
    return 1.0 if error >= 1 else min(1.0, error / (1 - error) / (options - 1))


def group_of(item: Item, options: int) -> Group:
    """The kind of question that an item is: luck is measured among these. (Open: as many options as known answers.)"""
    return item.category, max(options, 2)


def contradicted(items: Iterable[Item]) -> set[str]:
    """Items whose very words, options included, have another right answer elsewhere in the set."""
    asked: dict[tuple[object, ...], dict[frozenset[tuple[str, ...]], list[str]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for item in items:
        text = words(item.question), frozenset(item.options)
        asked[text][frozenset(words(answer) for answer in item.answers)].append(item.id)
    return {id for answers in asked.values() if len(answers) > 1 for ids in answers.values() for id in ids}


def answer_in_question(item: Item, vocabulary: Sequence[str]) -> bool:
    """Do the words of the question name the right answer, and no other that there is to choose from? (Never yes or no.)

    MMStar's example: "What is the shape of the round dirt circle?" (arXiv:2403.20330, Figure 1b).
    """
    if {words(text) for text in vocabulary} <= {("yes",), ("no",)}:
        return False
    right = {words(text) for text in item.answers}
    found = named(item.question, vocabulary)
    return bool(found) and all(words(vocabulary[i]) in right for i in found)


def flags(items: Sequence[Item], blind: Knowledge, bases: Sequence[Knowledge]) -> dict[str, Flags]:
    """By id, why a question needs no picture:

    * ``text``: a language model knows the answer (any of ``bases``), or the question holds it;
    * ``question``: the question names the right answer and no other, and a model without pictures picks it;
    * ``leaked``: the model that was trained on pictures knows the answer without one, and no language model does.
    """
    vocabulary = vocabularies(items)
    found = {}
    for item in items:
        seen = any(item.id in model.picked for model in (blind, *bases))
        question = seen and answer_in_question(item, vocabulary[item.id])
        text = question or any(item.id in base.known for base in bases)
        leaked = item.id in blind.known and not text and not any(item.id in base.settled for base in bases)
        found[item.id] = Flags(text, question, leaked)
    return found


def _with_vocabulary(items: Sequence[Item]) -> list[tuple[Item, tuple[str, ...]]]:
    vocabulary = vocabularies(items)
    return [(item, vocabulary[item.id]) for item in items]

"""Which questions need no picture: what a model without pictures knows, apart from what it guesses.

A right answer may be luck, in two ways, and both are measured. Luck of the moment: asked again, with the options in
another order, a guess falls elsewhere. So an opinion counts as *settled* only if its most frequent pick k of n is more
than a coin would give,

    P(Binomial(n, 1/2) >= k) <= alpha,

that is, if the model would pick it in more than half of ever so many trials. (Against a guesser among m options, 1/m,
mild preferences would become knowledge as n grows.) Luck of the habit: a model that always says "red" is settled, and
right wherever the answer is red. But a habit is wrong m - 1 times as often as right, so the settled answers that are
wrong tell how many of the right ones are luck:

    luck = wrong / ((m - 1) right)          in each category, with one more answer of the whole set's kind.

What is settled and right is *known* where luck is small, and where the same words have no other right answer elsewhere
in the set, for then nobody can know.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from math import comb
from typing import NamedTuple, TypeAlias

from limner.data.question_sets import Item
from limner.evaluate.asking import rights, vocabularies
from limner.evaluate.phrases import named, words
from limner.evaluate.yes_no import label

Picks: TypeAlias = Mapping[str, Sequence[int | None]]
Group: TypeAlias = tuple[str, int]  # category, number of options
ALPHA = 0.01  # one opinion in a hundred that is not settled seems so
MOST_LUCK = 0.1  # one flag in ten may be luck: the precision of 0.9 that the flags must have


class Opinion(NamedTuple):
    """Is what a model mostly picks right, and is it more than a guess?"""

    right: bool
    settled: bool


class Flags(NamedTuple):
    """Why a question needs no picture; see `raise_flags`."""

    text: bool
    question: bool
    leaked: bool


@dataclass(frozen=True)
class Raised:
    """Flags by id; and by arm ("base", "without_image") and group, the share of right answers that habits explain."""

    flags: Mapping[str, Flags]
    luck: Mapping[str, Mapping[Group, float]]


def coin_tail(hits: int, trials: int) -> float:
    """``P(Binomial(trials, 1/2) >= hits)``."""
    return sum(comb(trials, k) for k in range(hits, trials + 1)) / 2**trials


def opinions(items: Sequence[Item], picks: Picks, alpha: float = ALPHA) -> dict[str, Opinion]:
    """A model's opinion of every item; where there are too few trials for ``alpha``, all must agree."""
    right, held = rights(items), {}
    for item in items:
        made = picks[item.id]
        pick, hits = Counter(made).most_common(1)[0]
        settled = pick is not None and (hits == len(made) or coin_tail(hits, len(made)) <= alpha)
        held[item.id] = Opinion(pick in right[item.id], settled)
    return held


def known(
    items: Sequence[Item], held: Mapping[str, Opinion], apart: AbstractSet[str], most_luck: float = MOST_LUCK
) -> tuple[set[str], dict[Group, float]]:
    """What a model's opinions show it to know among the items not ``apart``, and the luck of every group."""
    groups = groups_of(items)
    settled = [id for id in held if held[id].settled and id not in apart]
    hits = Counter(groups[id] for id in settled if held[id].right)
    misses = Counter(groups[id] for id in settled if not held[id].right)
    share = misses.total() / max(len(settled), 1)
    luck = {group: luck_of(hits[group], misses[group], group[1], share) for group in sorted(set(groups.values()))}
    sure = {id for id in settled if held[id].right and luck[groups[id]] <= most_luck}
    return sure - contradicted(items), luck


def luck_of(right: int, wrong: int, options: int, share: float) -> float:
    """Share of the right answers that a habit explains; ``share``: of settled answers that are wrong in the whole set,
    which stands for one more answer."""
    error = (wrong + share) / (right + wrong + 1)
    return 1.0 if error >= 1 else min(1.0, error / (1 - error) / (options - 1))


def groups_of(items: Sequence[Item]) -> dict[str, Group]:
    """The kinds of question among which luck is measured, by id. (Open: as many options as known answers.)"""
    vocabulary = vocabularies(items)
    return {item.id: (item.category, max(len(vocabulary[item.id]), 2)) for item in items}


def contradicted(items: Iterable[Item]) -> set[str]:
    """Items whose very words, options included, have another right answer elsewhere in the set."""
    groups: dict[tuple[object, ...], dict[frozenset[tuple[str, ...]], list[str]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for item in items:
        text = words(item.question), frozenset(item.options)
        groups[text][frozenset(words(answer) for answer in item.answers)].append(item.id)
    return {id for answers in groups.values() if len(answers) > 1 for ids in answers.values() for id in ids}


def answer_in_question(item: Item, vocabulary: Sequence[str]) -> bool:
    """Do the words of the question name the right answer, and no other that there is to choose from? (Never yes or no.)

    MMStar's example: "What is the shape of the round dirt circle?" (arXiv:2403.20330, Figure 1).
    """
    if all(label(text) is not None for text in vocabulary):
        return False
    right = {words(text) for text in item.answers}
    found = named(item.question, vocabulary)
    return bool(found) and all(words(vocabulary[i]) in right for i in found)


def raise_flags(
    items: Sequence[Item],
    blind: Picks,
    bases: Sequence[Picks],
    *,
    alpha: float = ALPHA,
    most_luck: float = MOST_LUCK,
) -> Raised:
    """Why questions need no picture, from the picks of models that saw none:

    * ``question``: the question names the right answer and no other, and one of the models mostly picks it;
    * ``text``: a language model (any of ``bases``) knows the answer, or the question names it;
    * ``leaked``: the model that was trained on pictures knows the answer, and no language model holds it.

    Luck is counted among the questions that the flags before do not explain.
    """
    vocabulary = vocabularies(items)
    unseeing, *from_bases = (opinions(items, picks, alpha) for picks in (blind, *bases))
    question = {
        item.id
        for item in items
        if any(held[item.id].right for held in (unseeing, *from_bases))
        and answer_in_question(item, vocabulary[item.id])
    }
    from_text = [known(items, held, question, most_luck) for held in from_bases]
    text = question.union(*(ids for ids, _ in from_text))
    explained = text | {id for held in from_bases for id, one in held.items() if one.right and one.settled}
    leaked, luck = known(items, unseeing, explained, most_luck)
    flags = {item.id: Flags(item.id in text, item.id in question, item.id in leaked) for item in items}
    return Raised(flags, {"without_image": luck, "base": from_text[0][1]})

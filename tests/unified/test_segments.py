"""Laws of rows of segments: tokens see exactly what their rule says, and neither padding nor other rows change them."""

from __future__ import annotations

import random

import pytest
import torch

from limner.errors import InputError
from limner.languages.transformer import LanguageTransformer
from limner.unified.segments import KINDS, NOTHING, PADDING, Packed, Rule, Segment, embed, lay_out

WIDTH = 16
ANY = (
    Segment("special", [0, 1]),
    Segment("text", [3, 4, 5], learned=True),
    Segment("seen", length=4, rule="full"),
    Segment("drawn", ids=[7, 8, 9], learned=True),
    Segment("text", [6]),
    Segment("drawn", ids=[1, 2, 3, 4, 5], learned=True, rule="masked"),
    Segment("drawn", ids=[1, 2, 3, 4, 5], rule="full"),
    Segment("text", [2, 2], learned=True, branch=1),
    Segment("seen", length=2, rule="full", branch=2),
    Segment("text", [4, 3, 2], learned=True, branch=2),
    Segment("text", [9], learned=True, branch=1),
    Segment("text", [8, 8]),
)


def random_row(seed: int) -> list[Segment]:
    """Some segments in some order."""
    rng = random.Random(seed)
    return [rng.choice(ANY) for _ in range(rng.randint(1, 8))]


ROWS = [list(ANY), *(random_row(seed) for seed in range(12))]


def tokens_of(row: list[Segment]) -> list[tuple[int, int, Segment]]:
    """(segment, offset within it, segment itself) of every token."""
    return [(number, offset, one) for number, one in enumerate(row) for offset in range(one.size)]


@pytest.mark.parametrize("row", ROWS)
def test_a_token_sees_exactly_what_the_rule_says(row: list[Segment]) -> None:
    visible, tokens = lay_out([row]).visible()[0], tokens_of(row)
    for i, (number, _, one) in enumerate(tokens):
        for j, (of, _, other) in enumerate(tokens):
            if number == of:
                expected = j <= i or one.rule != "causal"
            else:
                expected = j < i and other.branch in (0, one.branch) and other.rule != "masked"
            assert bool(visible[i, j]) == expected, (i, j)


@pytest.mark.parametrize("row", ROWS)
def test_a_learned_token_is_predicted_by_the_one_before_it_or_by_its_own_position(row: list[Segment]) -> None:
    packed, tokens = lay_out([row]), tokens_of(row)
    for i, (_, _, one) in enumerate(tokens):
        before = [
            j for j, (_, _, other) in enumerate(tokens[:i]) if other.branch == one.branch and other.rule != "masked"
        ]
        trunk = [j for j in range(i) if tokens[j][2].branch == 0 and tokens[j][2].rule != "masked"]
        first = next(j for j, token in enumerate(tokens) if token[2].branch == one.branch)
        earlier = before or [j for j in trunk if j < first]
        own = [j for j in earlier if tokens[j][0] != tokens[i][0] or tokens[j][1] < tokens[i][1]]
        expected = NOTHING
        if one.learned:
            expected = i if one.rule == "masked" else (own or [NOTHING])[-1]
        assert int(packed.sources[0, i]) == expected, i


@pytest.mark.parametrize("row", ROWS)
def test_positions_go_on_within_a_branch_and_masked_pictures_take_none(row: list[Segment]) -> None:
    ends = {0: 0}
    expected = []
    for one in row:
        start = ends.setdefault(one.branch, ends[0])
        expected += range(start, start + one.size)
        if one.rule != "masked":
            ends[one.branch] = start + one.size
    assert lay_out([row]).positions[0].tolist() == expected


@torch.no_grad()
def hidden(packed: Packed) -> torch.Tensor:
    """What a language model makes of rows; vectors of pictures and special tokens depend on their offsets alone."""
    torch.manual_seed(0)
    language = LanguageTransformer(12, width=WIDTH, depth=2, heads=2, length=64)
    table = torch.randn(4, 8, WIDTH)
    vectors = {kind: table[i][packed.offsets[packed.of(kind)]] for i, kind in enumerate(KINDS) if kind != "text"}
    return language(embed(packed, language.embed, vectors), packed.positions, packed.visible())


def test_padding_changes_nothing() -> None:
    together = lay_out(ROWS)
    states = hidden(together)
    for number, row in enumerate(ROWS):
        alone = lay_out([row])
        count = alone.ids.shape[1]
        assert int(together.lengths()[number]) == count
        assert (together.kinds[number, count:] == PADDING).all()
        torch.testing.assert_close(states[number, :count], hidden(alone)[0], rtol=1e-4, atol=1e-5)


def test_the_order_of_rows_changes_nothing() -> None:
    order = [5, 0, 3, 12, 1, 2, 4, 11, 6, 10, 7, 9, 8]
    before, after = lay_out(ROWS), lay_out([ROWS[index] for index in order])
    for name, value in before.to_dict().items():
        assert torch.equal(after.to_dict()[name], value[order]), name
    torch.testing.assert_close(hidden(after), hidden(before)[order], rtol=1e-4, atol=1e-5)


def test_branches_are_as_if_the_others_were_not_there() -> None:
    picture = Segment("seen", length=4, rule="full")
    ask = [Segment("text", [i, i + 1, i + 2], learned=True, branch=i) for i in (1, 2, 3)]
    states = hidden(lay_out([[picture, *ask]]))[0]
    for index, one in enumerate(ask):
        alone = hidden(lay_out([[picture, one._replace(branch=0)]]))[0]
        torch.testing.assert_close(states[4 + 3 * index : 7 + 3 * index], alone[4:], rtol=1e-4, atol=1e-5)


def test_what_follows_a_masked_picture_reads_its_copy() -> None:
    """In place and position of the picture: as if it had been drawn already."""
    text, after = Segment("text", [3, 4]), Segment("text", [5, 6], learned=True)
    masked = Segment("drawn", ids=[1, 2, 3], learned=True, rule="masked")
    copy = Segment("drawn", ids=[1, 2, 3], rule="full")
    states = hidden(lay_out([[text, masked, copy, after]]))[0]
    torch.testing.assert_close(states[5:], hidden(lay_out([[text, copy, after]]))[0, 2:], rtol=1e-4, atol=1e-5)


def test_continuous_tokens_of_pictures_of_any_length_are_kept_in_order() -> None:
    first, second, third = (torch.randn(count, 3) for count in (2, 5, 1))
    rows = [
        [Segment("drawn", values=first, rule="full"), Segment("text", [1]), Segment("drawn", values=second)],
        [Segment("text", [2, 3]), Segment("drawn", values=third, learned=True)],
    ]
    packed = lay_out(rows)
    assert torch.equal(packed.tokens("drawn"), torch.cat([first, second, third]))
    assert packed.of("drawn").sum(1).tolist() == [7, 1]
    assert packed.offsets[0].tolist() == [0, 1, 0, 0, 1, 2, 3, 4]
    again = Packed.from_dict({**packed.to_dict(), "image": torch.zeros(1)})
    assert torch.equal(again.tokens("drawn"), packed.tokens("drawn"))
    assert torch.equal(packed.tokens("text"), torch.tensor([1, 2, 3]))


def test_targets_are_the_subwords_that_positions_predict() -> None:
    packed = lay_out([[Segment("text", [5]), Segment("text", [6, 7], learned=True), Segment("seen", length=2)]])
    assert packed.targets[0].tolist() == [6, 7, NOTHING, NOTHING, NOTHING]


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ([Segment("text", [1, 2, 3]), Segment("seen", length=4)], "row 2 has 7 positions or more, but the language"),
        ([Segment("text", [])], "a segment of kind 'text' has no token"),
        ([Segment("seen", length=2, learned=True, rule="full")], "rule 'full' is learned, but nothing predicts"),
        ([Segment("drawn", [1, 2], rule="masked")], "rule 'masked' is not learned"),
        (
            [Segment("drawn", values=torch.ones(2, 1)), Segment("drawn", length=1)],
            "1 of 2 'drawn'",
        ),
    ],
)
def test_rows_that_cannot_be_laid_out_are_refused(row: list[Segment], error: str) -> None:
    with pytest.raises(InputError, match=error):
        lay_out([[Segment("text", [1])], row], length=6)


def test_positions_and_not_tokens_are_counted() -> None:
    questions = [Segment("text", [1, 2], branch=branch) for branch in range(1, 9)]
    packed = lay_out([[Segment("seen", length=4, rule="full"), *questions]], length=6)
    assert packed.ids.shape[1] == 20


@pytest.mark.parametrize("rule", ["causal", "full"])
def test_as_many_vectors_as_tokens_are_wanted(rule: Rule) -> None:
    packed = lay_out([[Segment("seen", length=3, rule=rule)]])
    words = torch.randn(5, WIDTH)
    with pytest.raises(InputError, match="3 tokens of kind 'seen' were laid out, but 2 vectors given for them"):
        embed(packed, words.__getitem__, {"seen": torch.randn(2, WIDTH)})

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

MERGES = ["c a", "ca t</w>", "a n", "an d</w>"]


@pytest.fixture
def pairs():
    from limner.languages.byte_pairs import BytePairs

    return BytePairs([tuple(merge.split()) for merge in MERGES], length=8)


def spelled(pairs, caption: str) -> list[str]:
    (row,) = pairs.encode([caption])
    return [pairs.vocabulary.id_to_token(number) for number in row.tolist()]


def test_merges_are_applied_by_rank_and_words_end(pairs):
    assert pairs.size == 512 + len(MERGES) + 2
    assert spelled(pairs, "Cat and ca")[1:5] == ["cat</w>", "and</w>", "c", "a</w>"]
    assert spelled(pairs, "cant")[1:4] == ["ca", "n", "t</w>"]


def test_a_row_has_start_end_and_padding(pairs):
    (row,) = pairs.encode(["and"]).tolist()
    assert row == [pairs.start, 512 + 3, pairs.end, 0, 0, 0, 0, 0]
    assert (pairs.start, pairs.end) == (pairs.size - 2, pairs.size - 1)


def test_what_is_too_long_ends_with_the_end(pairs):
    (row,) = pairs.encode(["and " * 20]).tolist()
    assert row == [pairs.start, *[512 + 3] * 6, pairs.end]


def test_numbers_are_read_digit_by_digit_and_signs_by_themselves(pairs):
    assert spelled(pairs, "12!?")[1:-1] == [
        "1</w>",
        "2</w>",
        "!",
        "?</w>",
        pairs.vocabulary.id_to_token(pairs.end),
        "!",
    ]


def test_every_text_has_ids(pairs):
    rows = pairs.encode(["", "é", "你", "🙂"])
    assert [int((row > 0).sum()) for row in rows] == [2, 4, 5, 6]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("  A\tB\n C ", "a b c"),
        ("&amp;lt; &quot;x&quot;", '< "x"'),
        ("“a” ‘b’", "\"a\" 'b'"),
        ("ﬁne Ｆｕｌｌ", "fine full"),
        ("a\u0000b\ufeffc", "abc"),
        ("cafe\u0301", "caf\u00e9"),
        ("<i> &ldquo;", "<i> “"),
    ],
)
def test_text_is_made_plain(text, wanted):
    from limner.languages.byte_pairs import clean

    assert clean(text) == wanted


@pytest.mark.parametrize("name", ["merges.txt", "merges.txt.gz"])
def test_a_list_is_read(tmp_path: Path, pairs, name):
    from limner.languages.byte_pairs import BytePairs

    raw = "\n".join(["#version: 0.2", *MERGES, "d o"]).encode()
    (tmp_path / name).write_bytes(gzip.compress(raw) if name.endswith("gz") else raw)
    read = BytePairs.read(tmp_path / name, merges=len(MERGES), length=8)
    assert read.size == pairs.size
    assert read.encode(["Cat and do"]).tolist() == pairs.encode(["Cat and do"]).tolist()


@pytest.mark.parametrize("content", [b"first\na b c\n", b"first\nab c\n", b"", b"\xff\xfe\xff"])
def test_what_is_no_list_is_refused(tmp_path: Path, content):
    from limner.errors import InputError
    from limner.languages.byte_pairs import BytePairs

    (tmp_path / "merges.txt").write_bytes(content)
    with pytest.raises(InputError, match="give CLIP's own"):
        BytePairs.read(tmp_path / "merges.txt")
    with pytest.raises(InputError, match="cannot be read"):
        BytePairs.read(tmp_path / "nothing.gz")

"""What people write is shown, and nothing in it acts: on a page, on a terminal, in a library below."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from limner import pictures
from limner.errors import InputError, LimnerError, printable
from limner.evaluate.audit_page import marked
from limner.languages.subwords import Subwords

ACTING = (
    "\x1b[2J\x1b]0;owned\x07\rover\u202egnp.exe\ud800 [/red][bold] | <b>x</b> **y** `z` [a](http://b) \\ # 1. - &amp;"
)
RICH = "[/] [/red] [bold] [link=x]"


@pytest.fixture
def recorded(tmp_path: Path) -> dict[str, Path]:
    """Questions and answers that hold what acts."""
    acting = ACTING.replace("\ud800", "")
    asked = {"id": "q[/]1", "question": acting, "options": ["red", "blue"], "answer": "red", "category": acting}
    files = {"questions": [asked], "answer": [{"id": "q[/]1", "answer": "A"}]}
    for name, rows in files.items():
        (tmp_path / f"{name}[red].jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {name: tmp_path / f"{name}[red].jsonl" for name in files}


def audited(command_line: Any, files: dict[str, Path], *more: object) -> Any:
    answers = files["answer"]
    arguments = ["audit", files["questions"], "--answers", answers, "--blind", answers, "--base", answers]
    return command_line(*arguments, *more)


def test_what_is_shown_acts_on_nothing() -> None:
    assert printable("a\tb\nc é 红心 ❤️ 👩‍👩‍👧") == "a\tb\nc é 红心 ❤️ 👩‍👩‍👧"
    assert printable(ACTING).startswith(r"\x1b[2J\x1b]0;owned\x07\rover\u202egnp.exe\ud800 ")
    for number in (*range(32), *range(0x7F, 0xA0), 0x202E, 0x2066, 0xD800, 0xDFFF):
        assert (chr(number) in printable(chr(number))) == (chr(number) in "\t\n")


@pytest.mark.parametrize("ending", ["md", "html"])
def test_a_report_of_questions_that_act(command_line: Any, recorded: Any, tmp_path: Path, ending: str) -> None:
    page = tmp_path / f"page.{ending}"
    outcome = audited(command_line, recorded, "--report", page)
    assert outcome.code == 0, outcome.err
    text = page.read_text(encoding="utf-8")
    assert "<b>" not in text
    assert not {"\x1b", "\x07", "\u202e"} & set(text)
    assert not {"\x1b", "\x07", "\u202e"} & set(outcome.out)
    if ending == "md":
        assert "**y**" not in text
        assert "](http://b)" not in text
        rows = [line for line in text.splitlines() if line.startswith("|") and "owned" in line]
        assert rows
        for row in rows:
            assert row.replace(r"\|", "").count("|") in (6, 13)


def test_markdown_shows_what_was_written() -> None:
    for text in (
        "# no heading",
        "- no item",
        "1. no list",
        "a|b",
        "*a* _b_ `c` ~~d~~",
        "<i>",
        "[a](b)",
        "![a](b)",
        "&lt;",
    ):
        bare = marked(text).replace("\\", "").replace("&lt;", "<", 1 if "<" in text else 0)
        assert bare == text
        assert not any(f"{mark}" in marked(text).replace(f"\\{mark}", "") for mark in "*_`[]|#~<" if mark in text)


def test_a_report_that_fails_leaves_the_old_one(command_line: Any, recorded: Any, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("the old report")
    recorded["answer"].write_text("{")
    assert audited(command_line, recorded, "--report", page).code == 2
    assert page.read_text() == "the old report"
    outcome = audited(command_line, recorded, "--report", tmp_path / "page.txt")
    assert "end it with .html or .md" in outcome.err
    assert sorted(file.name for file in tmp_path.iterdir()) == ["answer[red].jsonl", "page.md", "questions[red].jsonl"]


HALF = "a red \ud800 heart"


@pytest.mark.parametrize(
    "arguments",
    [
        ("draw", HALF, "--model", "raster-emoji-64", "-o", "x.png"),
        ("see", "a.png", HALF),
        ("see", f"{HALF}.png"),
        ("tokens", f"{HALF}.png"),
        ("evaluate", HALF),
        ("prove", HALF),
        ("systems", "--family", HALF),
        ("draw", "a cat", "--model", RICH),
        ("see", "a.png", "--model", "\x1b[31mred"),
        ("tokens", "a.png", "-o", "\ud800.txt"),
        (HALF,),
    ],
    ids=repr,
)
def test_half_a_character_is_answered_in_one_sentence(
    command_line: Any, tmp_path: Path, monkeypatch: Any, arguments: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (64, 64)).save("a.png")
    outcome = command_line(*arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("limner: ")
    assert outcome.err.count("\n") == 1
    assert not {"\x1b", "\ud800"} & set(outcome.err)


def test_captions_of_a_page_hold_anything() -> None:
    page = pictures.grid([np.zeros((8, 8, 3), np.uint8)], 1, [ACTING], title="a \ud800")
    assert page.width > 100


def vocabulary() -> Subwords:
    return Subwords.trained(["a red heart", "a blue star"], size=60, length=18, speaks=True)


HOSTILE: dict[str, dict[str, Any]] = {
    "characters that cannot be parsed": {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}},
    "a pattern that is none": {"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "("}, "behavior": "Removed"}},
    "no model": {"model": {"type": "BPE"}},
    "another kind of value": {"added_tokens": 3},
}


@pytest.mark.parametrize("what", [*HOSTILE])
def test_a_hostile_vocabulary_is_an_error_of_ours(what: str) -> None:
    """The library dies of some in Rust, by a class that is no `Exception`."""
    subwords = vocabulary()
    changed = {**json.loads(subwords.vocabulary.to_str()), **HOSTILE[what]}
    with pytest.raises(LimnerError):
        subwords.set_extra_state(torch.frombuffer(bytearray(json.dumps(changed).encode()), dtype=torch.uint8))


def test_half_a_character_is_named_by_every_vocabulary() -> None:
    subwords = vocabulary()
    for read in (lambda: subwords.encode([HALF]), lambda: subwords.ids(HALF), lambda: subwords.unknown(HALF)):
        with pytest.raises(InputError, match="half a character"):
            read()

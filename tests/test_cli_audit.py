"""``limner audit``: from questions to prompts to a page."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from random import Random

import pytest

from limner.data.question_sets import read_questions

COLOURS = ("red", "green", "blue", "pink")


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    rng = Random(0)
    rows = [
        {
            "id": number,
            "question": f"What colour is thing {number}?",
            "options": rng.sample(COLOURS, 4),
            "answer": "ABCD"[number % 4],
            "category": "known" if number < 20 else "seen",
        }
        for number in range(60)
    ]
    rows += [
        {"id": f"p{number}", "question": f"Is there a thing {number}?", "answer": answer, "category": "probe"}
        for number, answer in enumerate(["yes", "no"] * 5)
    ]
    file = tmp_path / "questions.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.fixture
def recorded(command_line, questions, tmp_path) -> list[str]:
    """Prompts as the verb writes them, answered by a model that sees, a blind one and a language base."""
    response = command_line("audit", questions, "--prompts", tmp_path / "prompts.jsonl", "--shuffles", 8, "--json")
    assert json.loads(response.out) == {"file": str(tmp_path / "prompts.jsonl"), "questions": 70, "prompts": 490}
    truth = {str(row["id"]): row for row in map(json.loads, questions.read_text().splitlines())}
    rng = Random(1)
    for name, known in (("with", 60), ("blind", 20), ("base", 10)):
        rows = []
        for line in (tmp_path / "prompts.jsonl").read_text().splitlines():
            row = json.loads(line)
            asked = truth[row["id"]]
            if "options" not in asked:
                answer = asked["answer"].title() if name == "with" else "Yes."
            else:
                sure = asked["id"] < known
                place = row["order"].index("ABCD".index(asked["answer"])) if sure else rng.randrange(4)
                answer = f"The answer is: {'ABCD'[place]}"
            rows.append({**row, "answer": answer})
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return ["audit", str(questions)] + [
        part for option in ("answers", "blind", "base") for part in (f"--{option}", str(tmp_path / f"{FILES[option]}"))
    ]


FILES = {"answers": "with.jsonl", "blind": "blind.jsonl", "base": "base.jsonl"}


def test_an_audit_prints_one_json_object(command_line, recorded):
    outcome = command_line(*recorded, "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.out.count("\n") == 1
    report = json.loads(outcome.out)
    assert report["model"] == "with"
    assert report["protocol"]["reference"] == "questions.jsonl"
    scores = report["scores"]
    assert scores["audit/with_image"] == 1.0
    assert scores["audit/gain"] == pytest.approx(1 - scores["audit/without_image"], abs=1e-6)
    assert scores["audit/leakage"] == pytest.approx(scores["audit/without_image"] - scores["audit/base"], abs=1e-6)
    assert scores["first_letter/with_image"] == 0.0
    flags = {row["id"]: row for row in report["questions"]}
    assert sum(flags[str(i)]["text"] for i in range(10)) == 10
    assert sum(flags[str(i)]["leaked"] for i in range(10, 20)) >= 9
    assert not any(flags[f"p{i}"]["text"] or flags[f"p{i}"]["leaked"] for i in range(10))  # a habit of saying yes
    assert report["yes_no"]["probe"] == {
        "accuracy": 1.0, "precision": 1.0, "recall": 1.0, "f1": 1.0, "yes": 0.5, "unread": 0.0
    }  # fmt: skip
    assert report["categories"]["known"]["questions"] == 20


def test_an_audit_speaks(command_line, recorded, tmp_path):
    outcome = command_line(*recorded, "--report", tmp_path / "page.md")
    assert outcome.code == 0, outcome.err
    for words in (
        "multi-modal gain MG",
        "multi-modal leakage ML",
        "known",
        "points come from the pictures",
        "precision",
    ):
        assert words in outcome.out
    assert "first-letter rule the scores are 0.0 with pictures" in outcome.out
    assert "language base in probe" in outcome.out
    assert (tmp_path / "page.md").is_file()
    assert (tmp_path / "page.svg").is_file()
    assert "wrote " in outcome.out


def test_the_official_rule_can_be_asked_for(command_line, recorded, tmp_path):
    report = json.loads(
        command_line(*recorded, "--rule", "first-letter", "--report", tmp_path / "a.html", "--json").out
    )
    assert report["scores"]["unread/with_image"] == pytest.approx(480 / 490 * 1.0, abs=0.2)
    assert report["files"] == [str(tmp_path / "a.html")]
    assert report["protocol"]["judge"] == "first-letter"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "an audit needs --answers, --blind and --base"),
        (["--prompts", "p.jsonl", "--shuffles", "0"], "0 shuffles"),
        (["--answers", "no.jsonl", "--blind", "no.jsonl", "--base", "no.jsonl"], "'no.jsonl' cannot be read"),
    ],
)
def test_what_audit_refuses(command_line, questions, options, sentence):
    outcome = command_line("audit", questions, *options)
    assert (outcome.code, outcome.out) == (2, "")
    assert sentence in outcome.err
    assert outcome.err.count("\n") == 1


def test_the_page_does_what_it_says(command_line, repository, recorded, tmp_path, monkeypatch, capsys):
    page = (repository / "docs" / "audit.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    commands = [shlex.split(code)[1:] for code in re.findall(r"```bash\n(.*?)```", page, re.DOTALL)]
    assert [command[0] for command in commands] == ["audit", "audit"]
    for command in reversed(commands):  # the second on the answers to other prompts than those of the first
        outcome = command_line(*command)
        assert outcome.code == 0, outcome.err
    assert (tmp_path / "audit.html").is_file()
    (row,) = (json.loads(code) for code in re.findall(r"```json\n(.*?)```", page, re.DOTALL))
    Path("one.jsonl").write_text(json.dumps(row))
    assert read_questions("one.jsonl")[0].answers == ("heart",)
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(code, "docs/audit.md", "exec"), {"model": lambda image, question: "A", "base": lambda image, q: "B"})
    assert "Interval(mean=0.0, low=0.0, high=0.0)" in capsys.readouterr().out


def test_the_help_needs_no_torch_and_teaches(command_line):
    outcome = command_line("audit", "--help")
    for words in (
        "MG = S_with - S_without",
        "ML = max(0, S_without - S_base)",
        "limner audit questions.jsonl --prompts",
    ):
        assert words in outcome.out

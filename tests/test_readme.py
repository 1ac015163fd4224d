"""The README's table says what the recipes say, and its commands do what it says, in order, in an empty folder."""

from __future__ import annotations

import io
import re
import runpy
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

REPOSITORY = Path(__file__).parents[1]
SCRIPT = REPOSITORY / "scripts" / "write_readme.py"
TEXT = (REPOSITORY / "README.md").read_text(encoding="utf-8")
# What is long is shortened: the command is the README's, and these options follow it.
QUICK = ["--images", "8", "--batch", "4", "--warmup", "4", "--sample-every", "1000000", "--precision", "fp32"]
SHORTER = {
    "train": QUICK,
    "evaluate": ["--count", "2"],
    "draw": ["--steps", "4"],
}
ELSEWHERE = {"prove", "compare", "convert", "audit", "demo", "data"}  # tried with their own tests, for minutes or files


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", TEXT, flags=re.DOTALL)


def commands() -> list[list[str]]:
    """Every ``limner ...`` of the README's blocks, in order."""
    lines = [line for block in blocks("bash") for line in block.splitlines() if "limner" in line]
    parts = [part for line in lines for part in line.split("#")[0].split("&&")]
    return [shlex.split(part)[1:] for part in parts if part.strip().startswith("limner ")]


def test_the_table_is_what_the_recipes_say() -> None:
    script = runpy.run_path(str(SCRIPT))
    text = script["README"].read_text(encoding="utf-8")
    assert script["written"](text) == text, "run python scripts/write_readme.py"


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_option_of_the_readme_is_one(command_line: Any, command: list[str]) -> None:
    verb, *rest = command
    named = rest[:1] if verb in ("train", "data") else []
    listed = command_line(verb, *named, "--help").out
    for option in (word for word in rest if word.startswith("-")):
        assert re.search(rf"(?<![\w-]){option}\b", listed), f"limner {verb} has no {option}"


def album(folder: Path) -> None:
    """Pictures with captions, a photograph, a mask: what a reader has of their own."""
    rng = np.random.default_rng(0)
    (folder / "my-pictures").mkdir()
    for number in range(12):
        pixels = np.broadcast_to(rng.integers(0, 256, 3, np.uint8), (64, 64, 3))
        Image.fromarray(pixels.copy()).save(folder / "my-pictures" / f"{number}.png")
        (folder / "my-pictures" / f"{number}.txt").write_text(f"a plain picture {number}")
    Image.fromarray(rng.integers(0, 256, (90, 120, 3), np.uint8)).save(folder / "photo.jpg")
    Image.fromarray(np.pad(np.full((45, 60), 255, np.uint8), ((20, 25), (30, 30)))).save(folder / "hole.png")


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_readme_s_python_runs(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = blocks("python")
    names: dict[str, Any] = {}
    exec(compile(block, "README.md", "exec"), names)
    assert [picture.size for picture in names["pictures"]] == [(64, 64)] * 4
    ids = names["tokenizer"].encode(names["picture"])
    assert ids.shape == (1, 64)
    assert names["tokenizer"].decode(ids).abs().max() <= 1


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_readme_s_commands_run_in_order(command_line: Any, tmp_path: Path, monkeypatch: Any) -> None:
    """Each finds what those before it wrote, and none writes over it."""
    monkeypatch.chdir(tmp_path)
    album(tmp_path)
    tried = [command for command in commands() if command[0] not in ELSEWHERE]
    assert {"draw", "see", "chat", "tokens", "train", "evaluate", "systems"} <= {command[0] for command in tried}
    drawings: dict[str, bytes] = {}
    for command in tried:
        monkeypatch.setattr("sys.stdin", io.StringIO("What colour is the heart?\n/quit\n"))
        fixed = command[0] == "draw" and "--model" in command  # orders whose steps are no choice
        outcome = command_line(*command, *([] if fixed else SHORTER.get(command[0], [])))
        assert outcome.code == 0, f"limner {' '.join(command)}: {outcome.err}"
        assert all(Path(name).read_bytes() == content for name, content in drawings.items())
        drawings |= {file.name: file.read_bytes() for file in tmp_path.glob("drawing*.png")}
    assert len(drawings) >= sum(command[0] == "draw" for command in tried)

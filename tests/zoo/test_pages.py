"""The tutorial does what it says: its commands are run as they stand, only smaller."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from PIL import Image

pytestmark = pytest.mark.timeout(300)  # the first test of a session trains what it needs

SMALLER = {
    "vae": [
        "--size",
        "16",
        "--widths",
        "8",
        "8",
        "8",
        "--encoder-depths",
        "1",
        "1",
        "1",
        "--decoder-depths",
        "1",
        "1",
        "1",
    ],
    "mar": ["--width", "64", "--head-width", "16", "--head-depth", "1", "--patch", "1"],
}
SHORTER = ["--images", "16", "--batch", "8", "--warmup", "8", "--threads", "1"]


def snippets(page: str, language: str) -> list[str]:
    return [re.sub(r"\\\n\s*", "", code) for code in re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)]


def smaller(command: list[str], *, stopped: bool) -> list[str]:
    """The command with fewer and smaller everything; ``stopped`` as if Ctrl-C had been pressed at once."""
    if command[:2] == ["data", "build"]:
        return [*command[:-1], "16"]
    if command[0] != "train":
        return command
    minutes = ["--minutes", "1e-9"] if stopped else []
    return [*command, *SMALLER[command[1]], *SHORTER, *minutes]


def test_the_commands_of_your_pictures_run(command_line, repository, tmp_path, monkeypatch):
    page = (repository / "docs" / "your-pictures.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    lines = [line for code in snippets(page, "bash") for line in code.splitlines()]
    assert all(line.startswith("limner ") for line in lines)
    commands = [shlex.split(line)[1:] for line in lines]
    assert {command[0] for command in commands} == {"data", "train", "tokens", "draw"}
    for number, command in enumerate(commands):
        stopped = command in commands[number + 1 :]  # the command that the page has interrupted and given again
        outcome = command_line(*smaller(command, stopped=stopped))
        assert outcome.code == (75 if stopped else 0), f"{command}: {outcome.err}"
        if command[0] == "train":
            assert outcome.out.startswith("stopped after 8 of 16" if stopped else "trained on 16"), outcome.out
    for name in ("contact-sheet", "tokens", "drawing", "galaxies", "galaxies-steps"):
        with Image.open(f"{name}.png") as picture:
            assert picture.width >= 16
    for code in snippets(page, "python"):
        exec(compile(code, "docs/your-pictures.md", "exec"), {})
    Path("runs/own").rename("runs/gone")  # the generator carries its tokenizer
    Path("runs/mine/model").rename("model")
    assert command_line("draw", "part of a photo of a cat", "--model", "model", "-o", "moved.png").code == 0


def test_pages_name_only_options_that_exist(repository):
    """Every --option of a limner command in a page or the README belongs to the recipe or verb it is given to."""
    from limner.catalogue.recipes import find_recipes, resolve_recipe
    from limner.store.folder import find_recipe

    recipes = find_recipes()
    for page in [repository / "README.md", *sorted((repository / "docs").glob("*.md"))]:
        text = page.read_text(encoding="utf-8")
        written = re.findall(r"src/limner/recipes/\w+/(\w+)\.py", text)  # by the reader, who is following the page
        for code in snippets(text, "bash"):
            for line in code.splitlines():
                words = shlex.split(line, comments=True)
                if words[:2] != ["limner", "train"] or len(words) < 3 or words[2].replace("-", "_") in written:
                    continue
                knobs = find_recipe(resolve_recipe(words[2], recipes).path).knobs.__dataclass_fields__
                given = {word.removeprefix("--").replace("-", "_") for word in words if word.startswith("--")}
                assert given <= knobs.keys(), f"{page.name}: {line}"

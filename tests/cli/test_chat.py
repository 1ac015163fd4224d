"""``limner chat``: line after line, typed or piped."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image


@pytest.fixture
def piped(monkeypatch, command_line):
    """Runs ``limner chat ARGUMENTS`` with lines in its standard input."""

    def run(lines: list[str], *arguments: object):
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        return command_line("chat", *arguments)

    return run


def test_every_line_is_answered_until_there_is_none(piped, seeing, picture):
    import limner

    model = limner.load(seeing)
    outcome = piped(["What colour is the heart?", "", "a green ring?"], picture, "--model", seeing)
    assert outcome.code == 0
    assert outcome.out.splitlines() == [
        f"{picture}, 20 x 12 pixels",
        model.see(picture, "What colour is the heart?"),
        model.see(picture),
        model.see(picture, "a green ring?"),
    ]


def test_nothing_goes_wrong_for_good(piped, seeing, picture, tmp_path):
    lines = [
        "is it red?",
        "/open nowhere.png",
        "/open",
        "/frown",
        "/draw a ring",
        "/help",
        f"/open '{picture}'",
        "/words",
    ]
    outcome = piped([*lines, "/quit", "never asked"], "--model", seeing, "-o", tmp_path)
    assert outcome.code == 0
    said = outcome.out
    for part in ("no picture yet", "'nowhere.png' cannot be opened", "no picture to open", "there is no /frown"):
        assert part in said
    assert f"{seeing} sees but does not draw" in said
    assert "/open PICTURE" in said
    assert said.rstrip().endswith(str(tmp_path / "words-1.png"))
    with Image.open(tmp_path / "words-1.png") as page:
        assert page.width > 1000


class Both:
    """A real model that sees and a real one that draws, as one."""

    def __init__(self, reader: Any, drawer: Any) -> None:
        self.size, self.see, self.words, self.draw = reader.size, reader.see, reader.words, drawer.draw
        self.unseen, self.naming = drawer.unseen, drawer.naming


@pytest.fixture(scope="module")
def drawer():
    import torch

    from limner.languages.subwords import Subwords
    from limner.store.folder import find_recipe

    torch.manual_seed(0)
    recipe = find_recipe("generators/raster")
    model = recipe.build(recipe.knobs(width=64, depth=1, vocabulary=60)).eval()
    model.subwords.vocabulary = Subwords.trained(["a red heart", "a blue star"], size=60, length=8).vocabulary
    return model


def test_it_sees_what_it_drew(seeing, drawer, tmp_path):
    import limner
    from limner.cli.chat import Chat
    from limner.errors import InputError

    reader = limner.load(seeing)
    chat = Chat(Both(reader, drawer), "both", tmp_path / "new", 7)
    assert chat.reply("/draw a red heart") == str(tmp_path / "new" / "drawing-1.png")
    with Image.open(tmp_path / "new" / "drawing-1.png") as drawn:
        assert chat.reply("What colour is the heart?") == reader.see(drawn, "What colour is the heart?")
        assert drawn.tobytes() == drawer.draw("a red heart", seed=7)[0].tobytes()
    second = Path(chat.reply("/draw a red heart"))
    assert second.name == "drawing-2.png"
    assert second.read_bytes() != (tmp_path / "new" / "drawing-1.png").read_bytes()
    with pytest.raises(InputError, match="nothing to draw"):
        chat.reply("/draw")
    assert not (tmp_path / "new" / "drawing-3.png").exists()


def test_ctrl_c_leaves(monkeypatch, command_line, seeing, picture):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    def interrupted(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("builtins.input", interrupted)
    outcome = command_line("chat", picture, "--model", seeing)
    assert outcome.code == 0
    assert "/help says what to type" in outcome.out
    assert outcome.err == ""

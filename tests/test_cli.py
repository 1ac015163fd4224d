"""The command line: help that teaches, errors in one sentence, JSON alone on standard output."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from limner.catalogue.listing import VERDICTS
from limner.cli import VERBS, main
from limner.cli.command import print_json, standard_output_kept

DATA_VERBS = ["show", "check", "pack", "build"]


def picture(shade: int, side: int = 16) -> Image.Image:
    return Image.fromarray(np.full((side, side, 3), shade, np.uint8))


def opened(file: Path) -> Image.Image:
    with Image.open(file) as image:
        image.load()
    return image


@pytest.mark.parametrize("spelling", [[], ["--help"], ["-h"], ["help"]])
def test_the_overview_names_every_verb(command_line, spelling):
    outcome = command_line(*spelling)
    assert outcome.code == 0
    assert outcome.err == ""
    for verb, purpose in VERBS.items():
        assert f"  {verb} " in outcome.out
        assert purpose in outcome.out
    assert "Examples:" in outcome.out


@pytest.mark.parametrize("verb", [*VERBS, *(f"data {verb}" for verb in DATA_VERBS)])
def test_the_help_of_a_verb_teaches(command_line, verb):
    outcome = command_line(*verb.split(), "--help")
    assert outcome.code == 0
    assert f"usage: limner {verb}" in outcome.out
    assert "Examples:" in outcome.out
    assert f"\n  limner {verb}" in outcome.out.partition("Examples:")[2]


@pytest.mark.parametrize(
    "verb",
    [
        *("demo", "draw", "see", "chat", "tokens", "evaluate", "swap", "systems", "prove", "audit"),
        *("data show", "data pack"),
    ],
)
def test_every_option_is_explained(command_line, verb):
    outcome = command_line(*verb.split(), "--help")
    rows = [line.strip("│ ") for line in outcome.out.splitlines() if line.startswith("│")]
    for row, following in pairwise([*rows, ""]):
        if row.startswith("-"):
            explained = "  " in row or (following and not following.startswith("-"))
            assert explained, f"{verb}: {row} has no explanation"


def test_the_version_is_the_package_s(command_line):
    import limner

    assert command_line("--version").out == f"limner {limner.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["drw"], "did you mean `draw`?"),
        (["zzz"], "choose one of demo, draw, see"),
        (["data", "destroy"], "choose one of show, check, pack, build"),
        (["train", "tokenizers/vaee"], "did you mean tokenizers/vae"),
        (["train", "--lr", "1"], "the recipe comes first"),
        (["prove", "no-such-thing"], "there is no recipe 'no-such-thing'"),
        (["systems", "--family", "cars"], "there is no family 'cars'"),
        (["draw"], "there is nothing to draw"),
        (["draw", " "], "there is nothing to draw"),
        (["draw", "a cat", "-n", "0"], "-n is 0"),
        (["draw", "a cat", "--steps", "0"], "--steps is 0"),
        (["draw", "a cat", "--model", "no-such-model"], "no-such-model"),
        (["tokens"], "there is no image to tokenize"),
    ],
)
def test_a_mistake_is_answered_in_one_sentence(command_line, arguments, sentence):
    outcome = command_line(*arguments)
    assert outcome.code == 2
    assert outcome.out == ""
    assert outcome.err.startswith("limner: ")
    assert sentence in outcome.err
    assert outcome.err.count("\n") == 1


def test_an_unknown_option_is_refused_on_standard_error(command_line):
    outcome = command_line("draw", "a cat", "--stepz", "3")
    assert (outcome.code, outcome.out) == (2, "")
    assert "--stepz" in outcome.err


def test_systems_prints_one_json_list(command_line):
    outcome = command_line("systems", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    rows = json.loads(outcome.out)
    published = [row for row in rows if row["tier"] != "recipe"]
    assert len(published) == 216
    assert {"llamagen", "rar", "maskgit", "siglip", "limner"} <= {row["id"] for row in rows if row["state"] == "works"}
    assert set(rows[0]) == {"id", "family", "tier", "state", "kind", "recipe", "claims"}
    assert json.loads(command_line("systems", "--json", "--state", "partly", "--family", "survey").out) == []


def test_systems_prints_a_table(command_line):
    outcome = command_line("systems", "--family", "tokenizer")
    lines = outcome.out.splitlines()
    assert lines[0].split()[:4] == ["id", "family", "tier", "state"]
    (vq_vae,) = (line.split() for line in lines if line.startswith("vq-vae "))
    assert re.fullmatch(r"[-+?.]{2}", vq_vae[5])
    assert lines[-2].startswith("16 systems: ")
    assert lines[-2].endswith(" recipes beside them")
    listed = json.loads(command_line("systems", "--family", "tokenizer", "--json").out)
    found = Counter(claim["verdict"] for row in listed for claim in row["claims"])
    signs = zip("+-?.", (*VERDICTS, None), strict=True)
    counts = ", ".join(f"{sign} {verdict or 'not measured'} {found[verdict]}" for sign, verdict in signs)
    assert lines[-1] == f"{found.total()} claims of their papers, tried here: {counts}"
    assert "(deck" not in command_line("systems").out


def test_json_keeps_standard_output_to_itself(capsys):
    with standard_output_kept(True):
        print("loading")
    print_json({"psnr": float("inf"), "list": [float("nan"), 1.5, None], "text": "é"})
    out, err = capsys.readouterr()
    assert err == "loading\n"
    assert json.loads(out) == {"psnr": None, "list": [None, 1.5, None], "text": "é"}
    assert out.count("\n") == 1
    with standard_output_kept(False):
        print("drawing")
    assert capsys.readouterr().out == "drawing\n"


def test_an_interruption_ends_with_130(capsys, monkeypatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("limner.cli.systems.list_systems", interrupt)
    assert main(["systems"]) == 130
    assert capsys.readouterr().err == "limner: interrupted\n"


def test_an_unexpected_exception_keeps_its_traceback(monkeypatch):
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("limner.cli.systems.list_systems", fail)
    with pytest.raises(ZeroDivisionError):
        main(["systems"])


@pytest.mark.parametrize("arguments", ["['systems', '--json']", "['--help']"])
def test_a_reader_that_leaves_early_is_no_error(arguments):
    code = f"import sys, time; from limner.cli import main; time.sleep(0.3); sys.exit(main({arguments}))"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    with process.stderr:
        complaint = process.stderr.read()
    assert process.wait(timeout=60) == 141
    assert complaint == b""


@pytest.mark.parametrize(("count", "side"), [(1, 16), (3, 3 * 128 + 4 * 12)])
def test_drawings_become_a_picture_or_a_page(tmp_path, count, side):
    from limner.cli.draw import _write

    out = tmp_path / "new" / "page.png"
    assert _write([picture(90)] * count, ["a cat"] * count, out, count) == [out]
    assert opened(out).width == side


def test_drawings_fill_a_folder(tmp_path):
    from limner.cli.draw import _write

    files = _write([picture(10), picture(200)], ["a", "b"], tmp_path / "many", 1)
    assert [file.name for file in files] == ["0000.png", "0001.png"]
    assert [opened(file).getpixel((3, 3)) for file in files] == [(10,) * 3, (200,) * 3]


def test_the_steps_become_a_strip_and_an_animation(tmp_path):
    from limner.cli.draw import _write_steps

    steps = [(step, 30, [picture(8 * step), picture(255 - 8 * step)]) for step in range(1, 31)]
    steps += [(step, 30, [picture(9)]) for step in range(1, 31)]  # the next batch
    strip, animation = _write_steps(steps, tmp_path / "cat.png")
    assert (strip.name, animation.name) == ("cat-steps.png", "cat-steps.gif")
    assert opened(strip).width == 12 + 12 * (96 + 12)
    with Image.open(animation) as film:
        assert film.n_frames == 30


def test_python_m_limner_is_the_same_command():
    done = subprocess.run([sys.executable, "-m", "limner", "drw"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr == "limner: there is no verb 'drw': did you mean `draw`?\n"

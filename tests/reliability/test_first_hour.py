"""The first hour of a stranger: prompts in their own language, names that are free, errors before the waiting."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import limner
from limner.cli.command import parse
from limner.cli.draw import Draw, read_prompts, unseen_words
from limner.data.emoji import LANGUAGES, Emoji, table
from limner.data.naming import AS_WRITTEN, Worlds
from limner.data.scenes import Scenes
from limner.errors import InputError
from limner.models.inpainting import inpaint, kept_first
from limner.nn.devices import devices, find_device
from limner.pictures import free_name
from limner.types import Rng

WORLDS = Worlds()


@pytest.mark.parametrize(
    "written", ["❤", "❤️", "red heart", "Rotes Herz", "rotes herz", "红心", "Cœur rouge", "алое сердце", "قلب أحمر"]
)
def test_a_heart_is_a_heart_in_every_language(written: str) -> None:
    assert WORLDS.read(written) == "red heart"


def test_every_character_and_every_name_is_read_as_an_english_name(record: Any) -> None:
    every = table()
    names = set(every.names["en"])
    tried = [every.sequences[index] for index in range(every.plain)]
    tried += [every.names[language][index] for language in LANGUAGES for index in range(every.plain)]
    held = sum((read := WORLDS.read(text)) in names or not WORLDS.unseen(read) for text in tried)
    record("prompts in 14 languages become English names", len(tried), held)


def test_what_the_captions_say_is_left_as_it_is() -> None:
    emoji, scenes = Emoji("all"), [Scenes(seed, split="train", size=16) for seed in range(3)]
    said = [emoji.name(i) for i in range(len(emoji))] + [one[i].caption for one in scenes for i in range(300)]
    assert [WORLDS.read(text) for text in said] == said
    assert not [text for text in said if WORLDS.unseen(text)]
    assert WORLDS.read("a ❤ left of a 🚀") == "a red heart left of a rocket"
    assert WORLDS.read("a 👋🏽") == "a waving hand"
    assert AS_WRITTEN.read("❤") == "❤"


def test_words_that_no_caption_has_are_named_with_what_is_like_them() -> None:
    model = limner.load("raster-emoji-64")
    assert model.unseen("a red heart left of a blue star") == []
    assert model.unseen("a photo of a dog in sunglasess") == ["photo", "sunglasess"]
    (sentence,) = unseen_words(model, "raster-emoji-64", ["a photo of a dog in sunglasess"])
    assert sentence.startswith("raster-emoji-64 never saw photo, sunglasess, so what it draws for it is chance")
    assert "sunglasses" in sentence
    assert unseen_words(model, "", ["a red heart"]) == []


def test_a_prompt_is_drawn_alike_however_it_is_written() -> None:
    for name in ("mar-emoji-64", "limner-64", "raster-emoji-64"):
        model = limner.load(name)
        rows = [model.encoded(text, 1) for text in ("red heart", "❤", "rotes Herz", "红心")]
        assert all(torch.equal(row, rows[0]) for row in rows)
        assert not torch.equal(model.encoded("🐱", 1), rows[0])


def test_what_words_say_of_a_picture_is_short_to_print() -> None:
    read = limner.load("limner-64").words(Image.new("RGB", (64, 64), "red"))
    assert len(repr(read)) < 200
    assert repr(read).startswith("<PatchWords 8x8, mixture: ")


def test_nothing_is_written_over_unless_it_is_named(tmp_path: Path) -> None:
    names = []
    for _ in range(3):
        names.append(free_name(tmp_path / "drawing.png"))
        names[-1].touch()
    assert [name.name for name in names] == ["drawing.png", "drawing-2.png", "drawing-3.png"]


@pytest.mark.parametrize("verb", ["draw", "see", "tokens", "evaluate", "train"])
def test_a_device_that_is_not_there_is_said_before_anything_is_loaded(
    command_line: Any, verb: str, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr("limner.store.folder.load", lambda *_, **__: pytest.fail("it was loaded"))
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    given = {"draw": ["a red heart"], "see": [tmp_path / "a.png"], "tokens": [tmp_path / "a.png"]}
    arguments = given.get(verb, ["vae-64"] if verb == "evaluate" else ["vae", "--out", tmp_path / "run"])
    missing = "cuda" if "cuda" not in devices() else "mps"
    for device in (missing, "nonsense", "cpu:x", "meta"):
        outcome = command_line(verb, *arguments, "--device", device)
        assert (outcome.code, outcome.out) == (2, "")
        assert "device" in outcome.err
        assert outcome.err.count("\n") == 1


def test_the_devices_there_are_are_found() -> None:
    assert [find_device(name).type for name in devices()] == devices()


def test_prompts_are_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\ufeffa red heart\r\n\n 红心 \n", encoding="utf-8")
    assert read_prompts(tmp_path / "a.txt") == ["a red heart", "红心"]
    (tmp_path / "b.txt").write_text("\n \n")
    (tmp_path / "c.txt").write_bytes(b"\xff\xfe\x00")
    for name, sentence in (("b", "holds no prompt"), ("c", "no UTF-8"), ("d", "No such file")):
        with pytest.raises(InputError, match=sentence):
            read_prompts(tmp_path / f"{name}.txt")


@pytest.mark.parametrize("name", ["maskgit-emoji-64", "raster-emoji-64", "var-emoji-64-small"])
def test_what_is_not_masked_stays(name: str) -> None:
    model, rng = limner.load(name), np.random.default_rng(0)
    picture = rng.integers(0, 255, (64, 64, 3), np.uint8)
    mask = np.zeros((64, 64), np.uint8)
    mask[:, 32:] = 255
    first, second = (np.asarray(one) for one in inpaint(model, "a red heart", picture, mask, n=2, seed=3))
    assert np.abs(first[:, :32].astype(int) - picture[:, :32]).max() <= 1
    assert (first[:, 32:] != picture[:, 32:]).any()
    assert (first != second).any()
    with pytest.raises(InputError, match="the mask hides nothing"):
        inpaint(model, "a red heart", picture, mask * 0)


def test_kept_tokens_come_first_where_the_order_is_free() -> None:
    decoder = limner.load("maskgit-emoji-64").own_decoder()
    where = torch.zeros(2, 64, dtype=torch.bool)
    where[0, :20], where[1, 30:50] = True, True
    rng = Rng([1, 2])
    plan, own = (
        kept_first(decoder, where, rng),
        decoder.generator.order.decoding_steps(2, decoder.generator.layout, decoder.steps, Rng([1, 2])),
    )
    assert torch.equal(plan.sort(1).values, own.sort(1).values)
    assert all(plan[row][where[row]].max() <= plan[row][~where[row]].min() for row in range(2))
    raster = limner.load("raster-emoji-64").own_decoder()
    assert torch.equal(kept_first(raster, where, rng)[0], torch.arange(1, 65))


def test_the_options_of_a_page_of_help_are_few(command_line: Any) -> None:
    listed = command_line("draw", "--help").out
    assert sum(line.startswith("│ -") for line in listed.splitlines()) <= 30
    assert parse(Draw, "limner draw", "", ["a", "--dtype", "bf16"]).dtype == "bf16"


def test_an_option_that_is_on_says_how_it_is_switched_off(command_line: Any) -> None:
    said = " ".join(command_line("train", "mar", "--help").out.replace("│", " ").split())
    assert "(on; --no-velocity switches it off)" in said
    assert "(default: True)" not in said


def test_an_unreachable_hub_is_said_at_once(monkeypatch: Any) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    start = time.monotonic()
    with pytest.raises(InputError, match="the Hub is not reached, and it was not downloaded before"):
        limner.load("hf:nobody/nothing-here")
    assert time.monotonic() - start < 10


COMPLETED = {"limner dr": ["draw"], "limner draw --he": ["--head-steps", "--help"], "limner data show --c": ["--count"]}


def test_a_shell_completes_verbs_and_options(command_line: Any, tmp_path: Path) -> None:
    (tmp_path / "limner.sh").write_text(command_line("completion", "bash").out)
    for line, wanted in COMPLETED.items():
        words = line.split()
        ask = f'COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _limner; echo "${{COMPREPLY[@]}}"'
        done = subprocess.run(
            ["bash", "-c", f"source {tmp_path}/limner.sh; {ask}"], capture_output=True, text=True, check=True
        )
        assert done.stdout.split() == wanted
    assert "bashcompinit" in command_line("completion", "zsh").out
    assert (
        "complete -c limner -n '__fish_seen_subcommand_from draw' -a '--classes"
        in command_line("completion", "fish").out
    )

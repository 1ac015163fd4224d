"""From LLaVA JSON to an answered question with the real classes at tiny sizes: Qwen2, SigLIP, language basis, ROSS-D
and adapters, by the recipe file that also teaches the small model. docs/real-scale.md is run as it stands."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tests.languages.folders import teach, write_encoder, write_language

pytest.importorskip("transformers", reason="pip install 'limner[llm]'")
pytest.importorskip("peft", reason="pip install 'limner[llm]'")
pytestmark = [pytest.mark.timeout(600), pytest.mark.slow]

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
ASKED = "What colour is it?"
SMALL = ["--denoiser-width", "32", "--denoiser-depth", "1", "--draws", "1", "--frequent", "100", "--lora-alpha", "16"]
SHORT = ["--warmup", "10", "--schedule", "constant", "--batch", "4", "--accumulate", "1", "--length", "64"]
PLAIN = ["--precision", "fp32", "--sample-every", "100000", "--threads", "1"]
STAGES = {"align": ["--images", "80", "--lr", "3e-3"], "instruct": ["--images", "640", "--lr", "1e-2", "--lora", "8"]}


def talk() -> list[dict[str, Any]]:
    """Three pictures and what is said about them, and a row without a picture."""
    rows = [
        {
            "id": name,
            "image": f"{name}.png",
            "conversations": [
                {"from": "human", "value": f"<image>\n{ASKED}"},
                {"from": "gpt", "value": f"It is {name}."},
                {"from": "human", "value": "Is it red?"},
                {"from": "gpt", "value": "yes" if name == "red" else "no"},
            ],
        }
        for name in COLOURS
    ]
    alone = [{"from": "human", "value": "How many?"}, {"from": "gpt", "value": "two"}]
    return [*rows, {"id": "alone", "conversations": alone}]


def captions() -> dict[str, Any]:
    images = [{"id": number, "file_name": f"{name}.png"} for number, name in enumerate(COLOURS)]
    told = [{"image_id": number, "caption": f"It is {name}."} for number, name in enumerate(COLOURS)]
    return {"images": images, "annotations": told}


def spoken() -> Iterator[str]:
    """What a language model knows before it sees: what was named is what is asked about."""
    for row in talk():
        turns, named = row["conversations"], f"{row['id']} " * 6 if "image" in row else ""
        for asked, told in zip(turns[::2], turns[1::2], strict=True):
            yield f"{named}{asked['value'].removeprefix('<image>').strip()}\n{told['value']}"


@pytest.fixture(scope="module")
def room(tmp_path_factory, trained) -> Path:
    """Everything that the page asks for."""
    room = tmp_path_factory.mktemp("room")
    shutil.copytree(trained("tokenizers/vae").folder, room / "vae")
    write_language(room / "qwen")
    teach(room / "qwen", list(spoken()), steps=150)
    write_encoder(room / "siglip")
    for name, content in (("mix", talk()), ("pretrain", captions())):
        (room / f"{name}.json").write_text(json.dumps(content))
        (room / name).mkdir()
        for colour, pixels in COLOURS.items():
            Image.new("RGB", (40, 32), pixels).save(room / name / f"{colour}.png")
    Image.new("RGB", (32, 32), COLOURS["green"]).save(room / "mix" / "photo.jpg")
    return room


@pytest.fixture(scope="module")
def page(repository) -> str:
    text = (repository / "docs" / "real-scale.md").read_text(encoding="utf-8")
    return re.sub(r"\\\n\s*", "", text)


def commands(page: str) -> list[list[str]]:
    lines = [line for code in re.findall(r"```bash\n(.*?)```", page, re.DOTALL) for line in code.splitlines()]
    return [shlex.split(line)[1:] for line in lines]


@pytest.fixture(scope="module")
def taught(room, page) -> tuple[Path, Path]:
    """The page's two stages, only smaller; the folders of both runs."""
    from limner.cli import main

    with contextlib.chdir(room):
        for command in commands(page):
            if command[0] == "train":
                stage = STAGES[command[command.index("--stage") + 1]]
                assert main([*command, *SMALL, *SHORT, *PLAIN, *stage]) == 0
    return room / "runs" / "aligned", room / "runs" / "instructed"


def given(taught: tuple[Path, Path], **changes: Any) -> Any:
    """The knobs of the second stage."""
    from limner.recipes.understanding import ross_basis
    from limner.store.files import read_card
    from limner.store.knobs import parse_knobs

    knobs: Any = parse_knobs(ross_basis.Knobs, read_card(taught[1] / "model")["knobs"], taught[1])
    return replace(knobs, **changes)


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model" / "weights.safetensors")


def picture(name: str) -> torch.Tensor:
    return torch.tensor(COLOURS[name])[:, None, None].expand(3, 32, 32) / 127.5 - 1


def answers(model: Any) -> list[str]:
    images = torch.stack([picture(name) for name in COLOURS])
    return [*model.answers(images, [ASKED] * 3), *model.answers(None, ["How many?"])]


def test_a_stage_teaches_what_it_is_to_teach(taught, room):
    """Aligning teaches the connector alone; instructing goes on from there and leaves the language model as it was."""
    aligned, instructed = map(weights, taught)
    whole = load_file(room / "qwen" / "model.safetensors")
    kept = {name.removeprefix("language.model."): value for name, value in aligned.items() if "language." in name}
    assert kept.keys() == whole.keys()
    assert all(torch.equal(value, whole[name].bfloat16()) for name, value in kept.items())
    base = {name.replace(".base_layer", ""): value for name, value in instructed.items() if "lora_" not in name}
    assert base.keys() == aligned.keys()
    assert all(torch.equal(base[name], aligned[name]) for name in aligned if not name.startswith("connector."))
    adapters = {name: value for name, value in instructed.items() if "lora_B" in name}
    assert len(adapters) == 2 * 7
    assert all(value.abs().max() > 0 for value in adapters.values())
    assert torch.equal(aligned["connector.basis.basis.ids"], instructed["connector.basis.basis.ids"])
    assert not torch.equal(aligned["connector.head.output.weight"], instructed["connector.head.output.weight"])


def test_the_second_stage_begins_where_the_first_ended(taught, room):
    from limner.recipes.understanding import ross_basis

    with contextlib.chdir(room):
        task = ross_basis.RECIPE.task(given(taught))
    aligned = weights(taught[0])
    for name, value in task.model.connector.state_dict().items():
        assert torch.equal(value.bfloat16(), aligned[f"connector.{name}"].bfloat16()), name
    (newest,) = sorted(taught[0].glob("images-*"))[-1:]
    beside = load_file(newest / "extra.safetensors")
    assert all(torch.equal(value, beside[name]) for name, value in task.extra.state_dict().items())


@pytest.mark.parametrize("lora", [8, 0])
def test_memory_is_what_the_page_says(taught, room, tmp_path, lora):
    """But for the tokenizer, which the run does not hold, and the steps that AdamW counts."""
    from limner.recipes.understanding import ross_basis
    from limner.train.run import Run

    with contextlib.chdir(room):
        knobs = given(taught, precision="bf16", lora=lora)
        run = Run(ross_basis.RECIPE.task(knobs), knobs, tmp_path)
        run.step()
    model, extra, average = run.task.model, run.task.extra, run.average.model
    held = {id(weight): weight for part in (model, extra, average) for weight in part.parameters()}
    grown = [weight.grad for weight in held.values() if weight.grad is not None]
    moments = [value for weight in run.names.values() for value in run.optimizer.state(weight).values()]
    found = sum(one.numel() * one.element_size() for one in [*held.values(), *grown, *moments] if one.ndim)
    count = {name: sum(weight.numel() for weight in part.parameters()) for name, part in model.named_children()}
    adapters = sum(weight.numel() for name, weight in model.named_parameters() if "lora_" in name)
    words, tower, joined = model.language.words.numel(), count["encoder"], count["connector"]
    language, beside = count["language"] - adapters, sum(weight.numel() for weight in extra.parameters())
    scalars = sum(weight.numel() for weight in model.parameters() if not weight.ndim)
    stays = 4 * tower + (2 * (language - words) + 4 * words if lora else 0)
    learns = joined + (adapters if lora else language)
    assert found == pytest.approx(stays + 16 * (learns + beside) + 4 * learns, abs=20 * scalars + 8)


def test_it_answers_after_it_was_saved_and_moved(taught, room, tmp_path):
    import limner

    model = limner.load(taught[1])
    assert answers(model) == ["It is red.", "It is green.", "It is blue.", "two"]
    assert model.see(picture("green"), ASKED) == "It is green."
    moved = shutil.copytree(taught[1] / "model", tmp_path / "moved")
    away = room.rename(room.with_name("away"))
    try:
        again = limner.load(moved)
    finally:
        away.rename(room)
    assert answers(again) == answers(model)
    assert all(torch.equal(one, other) for one, other in zip(again.parameters(), model.parameters(), strict=True))
    limner.save(again, tmp_path / "again")
    assert answers(limner.load(tmp_path / "again")) == answers(model)


def test_the_rest_of_the_page_runs(command_line, taught, room, page, capsys):
    """Checks, questions and the words of patches; then Python: asked, merged, and given back to transformers."""
    import limner
    from limner.languages.huggingface import HuggingFaceLanguage

    with contextlib.chdir(room):
        said = [command_line(*command) for command in commands(page) if command[0] != "train"]
        assert [one.code for one in said] == [0] * 4, [one.err for one in said]
        assert "COCO captions with 3 sound rows, 0 of them without a picture, 3 answers" in said[0].out
        assert "LLaVA conversations with 4 sound rows, 1 of them without a picture, 7 answers" in said[1].out
        with Image.open("words.png") as drawn:
            assert drawn.width > 100
        for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
            exec(compile(code, "docs/real-scale.md", "exec"), {})
        merged, model = limner.load("runs/instructed/merged"), limner.load("runs/instructed")
        assert model.see("mix/photo.jpg", "What is in the picture?") in capsys.readouterr().out
        assert "green" in model.see("mix/photo.jpg", ASKED)  # which it learned to answer
        assert answers(merged) == answers(model)
        assert not any("lora_" in name for name in merged.state_dict())
        alone = HuggingFaceLanguage.read(room / "runs" / "qwen-that-saw")
        torch.testing.assert_close(alone.words, merged.language.words)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--data", "nowhere.json"], "'nowhere.json' cannot be read"),
        (["--language", "nowhere"], "nowhere cannot be read as a causal language model"),
        (["--lora-targets", "nothing"], "adapters find no layer among nothing"),
        (["--aligned", "nowhere"], "there is no model 'nowhere'"),
        (["--prompt", "Question:"], "has no place for the question"),
        (["--length", "12"], "has a picture: give rows to be seen, or a longer --length"),
        (["--classifier"], "--classifier names subwords of limner's own"),
        (["--latents", "vq-vae-64"], "--latents vq-vae-64 is no tokenizer of latents"),
        (["--language", "runs/instructed/model/language"], "holds no weights"),
    ],
)
def test_what_cannot_be_trained_is_refused(command_line, taught, room, page, shipped, tmp_path, more, sentence):
    shipped("tokenizers/vq_vae")
    command = [word for word in commands(page)[3] if word not in ("--aligned", "runs/aligned")]
    out = ["--images", "4", "--out", tmp_path / "run"]
    with contextlib.chdir(room):
        outcome = command_line(*command, *SMALL, *SHORT, *PLAIN, *out, *more)
    assert outcome.code == 2
    assert re.search(sentence, outcome.err.replace("\n", " ")), outcome.err


def test_stages_and_adapters_are_for_models_that_speak(command_line, tmp_path):
    for more in (["--lora", "4"], ["--stage", "align"]):
        outcome = command_line("train", "ross_basis", *more, "--out", tmp_path / "run")
        assert (outcome.code, "name one by --language" in outcome.err) == (2, True)

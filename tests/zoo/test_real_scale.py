"""From LLaVA JSON to an answered question with the real classes at tiny sizes: Qwen2, SigLIP, language basis, ROSS-D
and adapters, by the recipe file that also teaches the small model."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tests.languages.folders import teach, write_encoder, write_language

pytest.importorskip("transformers", reason="pip install 'limner[llm]'")
pytest.importorskip("peft", reason="pip install 'limner[llm]'")
pytestmark = pytest.mark.timeout(600)

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
ASKED = "What colour is it?"
SHORT = ["--warmup", "10", "--ema", "0", "--muon", "0", "--precision", "fp32", "--threads", "1"]
SMALL = ["--denoiser-width", "32", "--denoiser-depth", "1", "--draws", "1", "--basis", "frequent", "--entries", "100"]
LONG = ["--schedule", "constant", "--batch", "4", "--length", "64", "--sample-every", "100000"]


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


def spoken() -> Iterator[str]:
    """What a language model knows before it sees: what was named is what is asked about."""
    for row in talk():
        turns, named = row["conversations"], f"{row['id']} " * 6 if "image" in row else ""
        for asked, told in zip(turns[::2], turns[1::2], strict=True):
            yield f"{named}{asked['value'].removeprefix('<image>').strip()}\n{told['value']}"


@pytest.fixture(scope="module")
def room(tmp_path_factory, trained) -> Path:
    """Everything that a person has: two folders of models, a tokenizer, a file of talk, pictures."""
    room = tmp_path_factory.mktemp("room")
    shutil.copytree(trained("tokenizers/vae").folder, room / "vae")
    write_language(room / "qwen")
    teach(room / "qwen", list(spoken()), steps=150)
    write_encoder(room / "siglip")
    (room / "pictures").mkdir()
    for name, colour in COLOURS.items():
        Image.new("RGB", (40, 32), colour).save(room / "pictures" / f"{name}.png")
    (room / "talk.json").write_text(json.dumps(talk()))
    return room


def arguments(room: Path, stage: str, *more: object) -> list[object]:
    given = ["--encoder", room / "siglip", "--language", room / "qwen", "--data", room / "talk.json"]
    given += ["--latents", room / "vae"]
    return [
        "train",
        "ross_basis",
        *given,
        "--pictures",
        room / "pictures",
        "--stage",
        stage,
        *SHORT,
        *SMALL,
        *LONG,
        *more,
    ]


@pytest.fixture(scope="module")
def taught(room):
    """Aligned, then instructed by adapters; the folders of both runs."""
    from limner.cli import main

    aligned, instructed = room / "aligned", room / "instructed"
    assert main(list(map(str, arguments(room, "align", "--images", 80, "--lr", "3e-3", "--out", aligned)))) == 0
    more = ["--aligned", aligned, "--lora", 8, "--images", 640, "--lr", "1e-2", "--out", instructed]
    assert main(list(map(str, arguments(room, "instruct", *more)))) == 0
    return aligned, instructed


def picture(name: str) -> torch.Tensor:
    return torch.tensor(COLOURS[name])[:, None, None].expand(3, 32, 32) / 127.5 - 1


def answers(model) -> list[str]:
    images = torch.stack([picture(name) for name in COLOURS])
    told = model.answers(images, [ASKED] * 3) + model.answers(images, ["Is it red?"] * 3)
    return [*told, *model.answers(None, ["How many?"])]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model" / "weights.safetensors")


def test_a_stage_teaches_what_it_is_to_teach(taught, room):
    """Aligning teaches the connector alone; instructing goes on from there and leaves the language model as it was."""
    aligned, instructed = map(weights, taught)
    given = load_file(room / "qwen" / "model.safetensors")
    kept = {name.removeprefix("language.model."): value for name, value in aligned.items() if "language." in name}
    assert kept.keys() == given.keys()
    assert all(torch.equal(value, given[name].bfloat16()) for name, value in kept.items())
    base = {name.replace(".base_layer", ""): value for name, value in instructed.items() if "lora_" not in name}
    assert {name for name in base if "encoder." in name} == {name for name in aligned if "encoder." in name}
    same = [name for name in aligned if not name.startswith("connector.") and torch.equal(base[name], aligned[name])]
    assert len(same) == len([name for name in aligned if not name.startswith("connector.")])
    adapters = {name: value for name, value in instructed.items() if "lora_B" in name}
    assert len(adapters) == 2 * 7
    assert all(value.abs().max() > 0 for value in adapters.values())
    assert torch.equal(aligned["connector.basis.basis.ids"], instructed["connector.basis.basis.ids"])
    assert not torch.equal(aligned["connector.head.output.weight"], instructed["connector.head.output.weight"])


def test_the_second_stage_begins_where_the_first_ended(taught, room):
    from limner.recipes.understanding import ross_basis

    knobs = json.loads((taught[1] / "model" / "recipe.json").read_text())["knobs"]
    task = ross_basis.task(ross_basis.Knobs(**{**knobs, "lora_targets": tuple(knobs["lora_targets"])}))
    aligned = weights(taught[0])
    connector = task.model.connector.state_dict()
    assert all(
        torch.equal(value.bfloat16(), aligned[f"connector.{name}"].bfloat16()) for name, value in connector.items()
    )
    (newest,) = sorted(taught[0].glob("images-*"))[-1:]
    beside = load_file(newest / "extra.safetensors")
    assert all(torch.equal(value, beside[name]) for name, value in task.extra.state_dict().items())


def test_it_answers_after_it_was_saved_and_moved(taught, room, tmp_path):
    import limner

    model = limner.load(taught[1])
    assert answers(model) == ["It is red.", "It is green.", "It is blue.", "yes", "no", "no", "two"]
    assert model.see(picture("green"), ASKED) == "It is green."
    moved = shutil.copytree(taught[1] / "model", tmp_path / "moved")
    away = room.rename(room.with_name("away"))
    try:
        again = limner.load(moved)
    finally:
        away.rename(room)
    assert answers(again) == answers(model)
    assert all(torch.equal(one, other) for one, other in zip(again.parameters(), model.parameters(), strict=True))
    again.save(tmp_path / "again")
    assert answers(limner.load(tmp_path / "again")) == answers(model)


def test_adapters_can_be_merged(taught, tmp_path):
    """The model without adapters is one of the same recipe, saved without them."""
    from dataclasses import replace

    import limner
    from limner.languages.adapters import merge
    from limner.recipes.library import parse_knobs, read_card, save
    from limner.recipes.understanding import ross_basis

    model = limner.load(taught[1])
    said = answers(model)
    count = sum(weight.numel() for weight in model.parameters())
    merge(model.language.model)
    assert sum(weight.numel() for weight in model.parameters()) < count
    assert answers(model) == said
    card = read_card(taught[1] / "model")
    knobs = replace(parse_knobs(ross_basis.Knobs, card["knobs"], tmp_path), lora=0)
    save(model, tmp_path / "merged", recipe=card["recipe"], knobs=knobs, facts={})
    assert answers(limner.load(tmp_path / "merged")) == said


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--data", "nowhere.json"], "'nowhere.json' cannot be read"),
        (["--language", "nowhere"], "nowhere cannot be read as a causal language model"),
        (["--lora-targets", "nothing"], "adapters find no layer among nothing"),
        (["--aligned", "nowhere"], "there is no model 'nowhere'"),
        (["--prompt", "Question:"], "has no place for the question"),
        (["--length", "12"], "a picture of 16 slots and .* make"),
        (["--classifier"], "--classifier names subwords of limner's own"),
        (["--latents", "vq-vae-64"], "--latents vq-vae-64 is no tokenizer of latents"),
    ],
)
def test_what_cannot_be_trained_is_refused(command_line, room, shipped, tmp_path, more, sentence):
    shipped("tokenizers/vq_vae")
    outcome = command_line(*arguments(room, "instruct", "--lora", 2, "--images", 4, "--out", tmp_path / "run", *more))
    assert outcome.code == 2
    assert re.search(sentence, outcome.err.replace("\n", " ")), outcome.err


def test_weights_are_needed_to_train(command_line, room, taught, tmp_path):
    described = taught[1] / "model" / "language"
    outcome = command_line(*arguments(room, "align", "--language", described, "--images", 4, "--out", tmp_path / "run"))
    assert (outcome.code, "holds no weights" in outcome.err) == (2, True)
    outcome = command_line("train", "ross_basis", "--lora", 4, "--out", tmp_path / "run")
    assert (outcome.code, "name one by --language" in outcome.err) == (2, True)

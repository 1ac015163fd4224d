"""Stored records are checked, not trusted: model cards, reports, and what a comparison or an experiment keeps."""

from __future__ import annotations

import copy
import json
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import limner
from limner.compare.sweep import Point, _keep, _point
from limner.compare.trials import SPENT, _stretches
from limner.errors import CheckpointError, InputError, LimnerError
from limner.evaluate.protocol import Protocol
from limner.evaluate.records import read_record
from limner.evaluate.report import read_scores, report
from limner.store.files import read_card
from limner.store.folder import build, find_recipe
from limner.store.hub import download
from limner.train.checkpoint import file_hash

PROTOCOL = Protocol("emoji", 64, (64, 96), judge="features", judge_hash="ab", reference_hash="cd", seed=3)
SECONDS = 20.0  # of processor time that a refusal may take


def places(content: Any) -> list[tuple[Any, Any]]:
    """Every container and key of nested JSON."""
    found: list[tuple[Any, Any]] = []
    keys = content if isinstance(content, dict) else range(len(content)) if isinstance(content, list) else ()
    for key in keys:
        found += [(content, key), *places(content[key])]
    return found


FORGED: tuple[Any, ...] = (
    *(None, [], {}, "", "x", 0, -1, 1, 3, 0.5, True, 10**9, 10**30, float("nan"), float("inf")),
    *([[]], {"a": {"b": 1}}, "hf:me/evil"),
)


def forged(content: Any, chance: random.Random) -> Any:
    """With one value changed, taken out or put elsewhere, or no object at all."""
    content = copy.deepcopy(content)
    if chance.random() < 0.05:
        return chance.choice(FORGED)
    container, key = chance.choice(places(content))
    if chance.random() < 0.3:
        del container[key]
    else:
        container[key] = chance.choice([value for value in FORGED if json.dumps(value) != json.dumps(container[key])])
    return content


# Reports


def test_a_report_that_was_changed_is_refused(
    trials: Callable[[int, int], int], record: Callable[[str, int, int], None], tmp_path: Path
) -> None:
    """Every single value, and random changes."""
    content = report("vae-64", "cafe", PROTOCOL, {"psnr/emoji": 27.125, "frechet/emoji": 3.5})
    file = tmp_path / "report.json"
    file.write_text(json.dumps(content))
    assert read_scores(file)["psnr/emoji"].protocol == PROTOCOL
    chance, count, held = random.Random(0), trials(59, 1000), 0
    for _ in range(count):
        file.write_text(json.dumps(forged(content, chance)))
        try:
            read_scores(file)
        except InputError as error:
            held += len(str(error).splitlines()) == 1
    record("reports: a change is refused", count, held)


@pytest.mark.parametrize("score", [float("nan"), float("inf"), True, "27", None])
def test_a_score_that_is_no_number_is_refused(score: Any, tmp_path: Path) -> None:
    """Also where both hashes fit."""
    from limner.evaluate.report import _hash

    content = report("vae-64", "cafe", PROTOCOL, {"psnr/emoji": 27.125})
    content["scores"]["psnr/emoji"] = score
    content["hash"] = _hash(content)
    (tmp_path / "report.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="psnr/emoji is"):
        read_scores(tmp_path / "report.json")


# Model cards


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found = {}
    for path in ("tokenizers/vq_vae", "encoders/clip", "generators/mar", "tokenizers/titok"):
        recipe = find_recipe(path)
        model = build(path, recipe.knobs(**recipe.tiny))
        found[path] = limner.save(model, tmp_path_factory.mktemp("saved") / path.partition("/")[2])
    return found


def test_forged_cards_end_in_a_sentence(
    made: dict[str, Path], trials: Callable[[int, int], int], record: Callable[[str, int, int], None], tmp_path: Path
) -> None:
    """Within seconds and the memory that there is; what is accepted has the very weights of the file."""
    chance, count, held = random.Random(1), trials(10, 60), 0
    for trial in range(count):
        source = list(made.values())[trial % len(made)]
        folder = Path(shutil.copytree(source, tmp_path / f"{trial}"))
        card = json.loads((folder / "recipe.json").read_text())
        (folder / "recipe.json").write_text(json.dumps(forged(card, chance)))
        began = time.process_time()
        try:
            state = limner.load(folder).state_dict()
            wanted = load_file(folder / "weights.safetensors")
            held += all(torch.equal(state[key], value.to(state[key].dtype)) for key, value in wanted.items())
        except LimnerError as error:
            held += len(str(error).splitlines()) == 1 and time.process_time() - began < SECONDS
    record("model cards: a forgery ends in one sentence, or changes no weight", count, held)


def test_a_card_of_a_billion_layers_is_refused_at_once(
    trials: Callable[[int, int], int], record: Callable[[str, int, int], None], made: dict[str, Path], tmp_path: Path
) -> None:
    """Every whole number of a card, as large as it goes."""
    cases = []
    for source in made.values():
        knobs = json.loads((source / "recipe.json").read_text())["knobs"]
        cases += [(source, knob, size) for knob in knobs for size in (10**9, 10**6) if type(knobs[knob]) is int]
    chosen, held = random.Random(2).sample(cases, min(trials(8, 200), len(cases))), 0
    for number, (source, knob, size) in enumerate(chosen):
        folder = Path(shutil.copytree(source, tmp_path / f"{number}"))
        card = json.loads((folder / "recipe.json").read_text())
        card["knobs"][knob] = size
        (folder / "recipe.json").write_text(json.dumps(card))
        began = time.process_time()
        try:
            limner.load(folder)
            held += True  # a number that shapes nothing
        except LimnerError as error:
            held += len(str(error).splitlines()) == 1
        assert time.process_time() - began < SECONDS, knob
    record("model cards: sizes of a million and a billion are refused or shape nothing", len(chosen), held)


def test_a_card_never_asks_the_hub(made: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(address: str) -> Path:
        raise AssertionError(f"{address} was asked for")

    monkeypatch.setattr("limner.store.hub.download", asked)
    assert download is not asked
    folder = Path(shutil.copytree(made["generators/mar"], tmp_path / "mine"))
    shutil.rmtree(folder / "tokenizer", ignore_errors=True)
    card = json.loads((folder / "recipe.json").read_text())
    card["knobs"]["tokenizer"] = "hf:me/vae"
    (folder / "recipe.json").write_text(json.dumps(card))
    with pytest.raises(InputError, match=r"is made of hf:me/vae on the Hub, which it does not carry"):
        limner.load(folder)


@pytest.mark.parametrize(("change", "sentence"), [(torch.Tensor.long, "int64"), (lambda t: t + 1j, "complex")])
def test_weights_of_another_kind_are_refused(
    change: Callable[[torch.Tensor], torch.Tensor], sentence: str, made: dict[str, Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(made["tokenizers/vq_vae"], tmp_path / "mine"))
    file = folder / "weights.safetensors"
    tensors = load_file(file)
    key = next(name for name, value in tensors.items() if value.is_floating_point())
    save_file({**tensors, key: change(tensors[key].float())}, file)
    card = json.loads((folder / "recipe.json").read_text())
    (folder / "recipe.json").write_text(json.dumps({**card, "weights": file_hash(file)}))
    with pytest.raises(CheckpointError, match=rf"in kind {key} is {sentence}"):
        limner.load(folder)


def test_saved_cards_do_not_say_where_things_lay(made: dict[str, Path], tmp_path: Path) -> None:
    recipe = find_recipe("generators/maskgit")
    tokenizer = Path(shutil.copytree(made["tokenizers/vq_vae"], tmp_path / "private" / "own"))
    knobs = recipe.knobs(**{**recipe.tiny, "tokenizer": str(tokenizer), "data": tmp_path / "private" / "pictures"})
    saved = limner.save(build("generators/maskgit", knobs), tmp_path / "saved")
    limner.save(limner.load(saved), tmp_path / "again")
    shutil.rmtree(tmp_path / "private")
    for folder in (saved, tmp_path / "again"):
        assert limner.load(folder)
        assert (read_card(folder)["knobs"]["tokenizer"], read_card(folder)["knobs"]["data"]) == ("own", "pictures")
        texts = [file.read_text() for file in folder.rglob("*") if file.suffix in (".json", ".md")]
        assert len(texts) >= 3
        assert not [text for text in texts if str(tmp_path) in text]


# Comparisons and experiments


def test_forged_points_and_notes_end_in_a_sentence(
    trials: Callable[[int, int], int], record: Callable[[str, int, int], None], tmp_path: Path
) -> None:
    content = report("vae-64", "cafe", PROTOCOL, {"frechet/emoji": 3.5})
    file = tmp_path / "point.json"
    _keep(Point({"steps": 4}, True, 4, 0.5, content), file)
    whole = json.loads(file.read_text())
    chance, count, held = random.Random(3), trials(30, 500), 0
    for _ in range(count):
        file.write_text(json.dumps(forged(whole, chance)))
        (tmp_path / SPENT).write_text(json.dumps(forged([[64, 1.5], [128, 3.5]], chance)))
        try:
            point = read_record(file, "no point", "measure it again", _point)
            held += isinstance(point.report["scores"], dict) and isinstance(point.pace, dict)
        except InputError:
            held += 1
        try:
            held += all(isinstance(seconds, float) for _, seconds in _stretches(tmp_path))
        except InputError:
            held += 1
    record("comparisons: forged records are read as numbers or refused", 2 * count, held)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "null", "[1]", '"x"', "\udcff", "1e999"])
def test_emptied_and_broken_records_end_in_a_sentence(text: str, made: dict[str, Path], tmp_path: Path) -> None:
    file = tmp_path / "point.json"
    file.write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(InputError, match="is no point"):
        read_record(file, "no point", "measure it again", _point)
    with pytest.raises(InputError, match="is no report"):
        read_scores(file)
    folder = Path(shutil.copytree(made["tokenizers/vq_vae"], tmp_path / "mine"))
    shutil.copyfile(file, folder / "recipe.json")
    with pytest.raises(CheckpointError, match="cannot be read"):
        limner.load(folder)

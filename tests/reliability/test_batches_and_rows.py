"""A batch in parts is the batch; rows that cannot be trained on are found before the first step."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from limner.errors import InputError

SMALL = {"width": 64, "depth": 1, "encoder_width": 64, "encoder_depth": 1, "size": 16, "patch": 8}
LONG = "a long answer that goes on about all there is to see here in the picture of number "
Record = Callable[[str, int, int], None]


def talk(folder: Path, rows: list[tuple[str, str]]) -> Path:
    """A file of questions and answers about as many pictures, in LLaVA's format."""
    folder.mkdir()
    content = []
    for number, (question, answer) in enumerate(rows):
        Image.new("RGB", (16, 16), (number * 5, 0, 0)).save(folder / f"{number}.png")
        turns = [{"from": "human", "value": f"<image>\n{question}"}, {"from": "gpt", "value": answer}]
        content.append({"id": str(number), "image": f"{number}.png", "conversations": turns})
    (folder / "t.json").write_text(json.dumps(content))
    return folder / "t.json"


def llava(**knobs: Any) -> tuple[Any, Any]:
    """The task of a tiny LLaVA, and its knobs."""
    from limner.recipes.understanding.llava import RECIPE

    torch.manual_seed(0)
    made = RECIPE.knobs(**{**SMALL, **knobs})
    return RECIPE.task(made), made


def gradients(file: Path, parts: int, folder: Path) -> tuple[float, Tensor]:
    from limner.train.run import Run

    task, knobs = llava(
        data=str(file), batch=8, accumulate=parts, precision="fp32", length=128, muon=0.0, clip=1e9, images=8, ema=0
    )
    run = Run(task, knobs, folder / "none")
    task.model.train()
    run.optimizer.step = lambda share: None
    loss = run.step()["loss"]
    return loss, torch.cat([weight.grad.flatten() for weight in run.names.values() if weight.grad is not None])


def test_answers_of_different_length_weigh_alike_in_parts(tmp_path: Path, record: Record) -> None:
    """shared/cases/14: the relative difference of the gradient was 0.07, 0.36 and 0.69."""
    file = talk(tmp_path / "talk", [("What is it?", "red" if i % 2 else f"{LONG}{i}") for i in range(8)])
    loss, whole = gradients(file, 1, tmp_path)
    held = 0
    for parts in (2, 4, 8):
        other, found = gradients(file, parts, tmp_path)
        assert other == pytest.approx(loss, rel=1e-4)
        held += bool((found - whole).norm() / whole.norm() < 1e-3)
    record("answers: a batch in 2, 4 and 8 parts has the gradient of the whole", 3, held)


@pytest.mark.parametrize("name", ["features", "clip", "siglip", "superclass"])
@pytest.mark.parametrize(("batch", "parts"), [(1, 1), (4, 4)])
def test_losses_across_the_batch_are_refused_in_parts(
    name: str, batch: int, parts: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """shared/cases/29: CLIP's loss was 0 and it counted as trained; the feature net ended in an error of torch."""
    from limner.lessons import pairs
    from limner.store.folder import find_recipe
    from limner.train.run import Run

    monkeypatch.setattr(pairs, "READ", 20)
    recipe = find_recipe(f"encoders/{name}")
    knobs = recipe.knobs(**{**recipe.tiny, "batch": batch, "accumulate": parts, "images": batch, "out": tmp_path / "o"})
    with pytest.raises(InputError, match="--batch 1 is too small" if parts == 1 else "--accumulate 4 would change"):
        Run(recipe.task(knobs), knobs, tmp_path / "none")


def question(words: int) -> str:
    return " ".join(f"w{k}" for k in range(words))


def test_rows_without_room_for_an_answer_are_left_out_before_the_first_step(tmp_path: Path, record: Record) -> None:
    """shared/cases/20: a run ended when it met the row, and again when it was resumed."""
    rows = [(question(120) if i == 30 else "What?", "red") for i in range(40)]
    from limner.unified.segments import NOTHING, Packed

    task, _ = llava(data=str(talk(tmp_path / "p", rows)), length=64)
    (notice,) = task.notices
    assert "1 of 40 rows of --data leave no room for an answer in --length 64, as row 31 (id '30')" in notice
    read = [task.batch(index, 1) for index in range(80)]
    assert all((Packed.from_dict(one).targets != NOTHING).any() for one in read)
    record("rows longer than --length: batches that can be made", 80, len(read))


def test_where_every_row_is_too_long_that_is_said_at_the_door(tmp_path: Path) -> None:
    file = talk(tmp_path / "p", [(question(120), "red")] * 3)
    with pytest.raises(InputError, match=r"3 of 3 rows .* no room for an answer in --length 64, as row 1 \(id '0'\)"):
        llava(data=str(file), length=64)


@pytest.mark.parametrize("words", [38, 40, 42, 44, 46, 48, 50, 52])
def test_what_is_kept_can_be_trained_on_at_every_length(words: int, tmp_path: Path) -> None:
    """Around the edge, in letters of one byte and of several: either the row is left out, or its batch can be made."""
    rows = [("What?", "red"), (question(words), "blue"), ("\u00df" * words, "green"), ("\U0001f300" * words, "grey")]
    task, _ = llava(data=str(talk(tmp_path / "p", rows * 6)), length=64)
    assert len([task.batch(index, 1) for index in range(24)]) == 24
    assert task.model.train() is task.model


def broken(folder: Path, *numbers: int) -> None:
    for number in numbers:
        (folder / f"{number}.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")


def test_pictures_that_break_late_are_named_and_left_out(tmp_path: Path, record: Record) -> None:
    """The run ended when it met one, and again when it was resumed."""
    file = talk(tmp_path / "p", [(f"What is {i}?", "red") for i in range(40)])
    task, _ = llava(data=str(file), length=64)
    broken(tmp_path / "p", 3, 17)
    read = [task.batch(index, 1) for index in range(80)]
    assert sorted(notice.split("'")[1].rpartition("/")[2] for notice in task.notices) == ["17.png", "3.png"]
    again, _ = llava(data=str(file), length=64)
    assert all(torch.equal(one["ids"], again.batch(index, 1)["ids"]) for index, one in enumerate(read))
    record("broken pictures: batches that can be made", 80, len(read))
    broken(tmp_path / "p", *range(40))
    hopeless, _ = llava(data=str(file), length=64)
    with pytest.raises(InputError, match="none of 38 items can be read"):
        hopeless.batch(0, 1)


def test_a_folder_of_pictures_is_trained_on_without_its_broken_ones(tmp_path: Path) -> None:
    from limner.lessons.pictures import learning_from

    talk(tmp_path / "p", [("", "red")] * 8)
    (tmp_path / "p/t.json").unlink()
    broken(tmp_path / "p", *range(1, 7))
    stream, held_out = learning_from(tmp_path / "p", 16, 0)
    assert len(stream.take(0, 40)) == 40
    assert len(stream.notices) == 6
    assert sum(map(len, held_out.values())) <= 1

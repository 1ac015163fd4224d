"""The loop: its steps, its guard, its average, its schedule and what it leaves to read."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.train import tiny
from torch import nn

from limner.errors import DivergedError, InputError
from limner.train import checkpoint, loop
from limner.train.average import WeightAverage
from limner.train.run import MAX_SKIPPED, Run
from limner.train.settings import Settings
from limner.train.task import Task


def everything(run: Run) -> dict[str, torch.Tensor]:
    """A copy of all that a step may change."""
    groups = {**run.modules, "average": run.average.model}
    found = {
        f"{group}.{name}": value for group, module in groups.items() for name, value in module.state_dict().items()
    }
    for name, parameter in run.names.items():
        found |= {f"{name}/{key}": value for key, value in run.optimizer.state(parameter).items()}
    return {name: value.clone() for name, value in found.items()}


def test_training_learns(tmp_path: Path) -> None:
    run = Run(tiny.plain_task(), tiny.settings(images=10**6, lr=3e-3), tmp_path)
    losses = [run.step()["loss"] for _ in range(40)]
    assert sum(losses[-5:]) < 0.75 * sum(losses[:5])
    assert run.images == 160


def test_parts_of_a_batch_give_the_gradient_of_the_whole(tmp_path: Path) -> None:
    whole, parts = (
        Run(tiny.plain_task(), tiny.settings(batch=8, accumulate=accumulate, precision="fp32"), tmp_path)
        for accumulate in (1, 4)
    )
    values = [whole.step(), parts.step()]
    assert values[0]["loss"] == pytest.approx(values[1]["loss"], rel=1e-5)
    assert values[0]["gradient"] == pytest.approx(values[1]["gradient"], rel=1e-4)
    for name, parameter in whole.names.items():
        torch.testing.assert_close(parts.names[name].grad, parameter.grad, rtol=1e-3, atol=1e-6)


def test_gradients_are_shortened_to_the_clip(tmp_path: Path) -> None:
    run = Run(tiny.plain_task(), tiny.settings(clip=1e-3), tmp_path)
    assert run.step()["gradient"] > 1e-3
    norm = math.sqrt(sum(float(parameter.grad.square().sum()) for parameter in run.names.values()))
    assert norm == pytest.approx(1e-3, rel=1e-3)


def test_vectors_are_not_decayed(tmp_path: Path) -> None:
    run = Run(tiny.task(), tiny.settings(), tmp_path)
    matrices, vectors = run.optimizer.parts[0].param_groups
    assert matrices["weight_decay"] == 0.02
    assert vectors["weight_decay"] == 0.0
    assert {p.ndim for p in vectors["params"]} == {1}
    assert {p.ndim for p in matrices["params"]} == {4}
    assert len(matrices["params"]) + len(vectors["params"]) == len(run.names)


def blinded(*bad: int) -> tiny.TokenizerTask:
    """A task some of whose images are not finite."""
    task = tiny.task()

    def batch(start: int, size: int) -> torch.Tensor:
        images = task.batch(start, size)
        if start in bad:
            images[0, 0, 0, 0] = float("nan")
        return images

    return replace(task, batch=batch)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_step_that_is_not_finite_changes_nothing(tmp_path: Path, precision: str) -> None:
    """Not even the running averages of the codebook, which see the batch before its loss is known."""
    run = Run(blinded(8, 12), tiny.settings(precision=precision), tmp_path)
    for _ in range(2):
        assert math.isfinite(run.step()["loss"])
    before = everything(run)
    for skipped in (1, 2):
        assert not math.isfinite(run.step()["loss"])
        assert run.skipped == skipped
    after = everything(run)
    assert [name for name, value in before.items() if not torch.equal(after[name], value)] == []
    assert math.isfinite(run.step()["loss"])
    assert (run.images, run.steps, run.skipped) == (20, 3, 0)


def test_a_run_that_stays_not_finite_is_given_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task = blinded(*range(20, 400, 4))
    with pytest.raises(DivergedError, match=f"{MAX_SKIPPED + 1} steps in a row.*lower --lr"):
        loop.train(task, tiny.settings(images=400), tmp_path, bar=False)
    folder, _ = checkpoint.newest(tmp_path)
    assert folder is not None
    assert all(value.isfinite().all() for value in checkpoint.load(folder)[0]["model"].values())
    assert "skipped a step" in capsys.readouterr().err


def test_a_run_is_logged_line_by_line(tmp_path: Path) -> None:
    run = tiny.train(tmp_path, sample_every=48)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    last = next(line for line in reversed(lines) if "loss" in line)
    assert last["images"] == run.images == tiny.TOTAL
    assert {"loss", "psnr", "usage", "perplexity", "dead", "gradient", "lr", "images/s"} <= last.keys()
    assert [line["images"] for line in lines if "psnr/discs" in line] == [48, 96]
    assert sorted(path.name for path in (tmp_path / "samples").iterdir()) == [
        "images-000000000048.png",
        "images-000000000096.png",
    ]
    assert len(checkpoint.complete(tmp_path)) == 2
    assert list((tmp_path / "tensorboard").glob("events*"))


def test_looking_at_a_run_does_not_change_it(tmp_path: Path) -> None:
    runs = [tiny.train(tmp_path / str(every), images=24, sample_every=every, ema=0) for every in (4, 10**6)]
    ends = [everything(run) for run in runs]
    assert all(torch.equal(ends[0][name], value) for name, value in ends[1].items())
    assert all(module.training for module in (runs[0].task.model, runs[0].task.model.quantizer))


def test_without_averaging_the_average_is_the_weights(tmp_path: Path) -> None:
    run = tiny.train(tmp_path, images=16, ema=0)
    for name, value in run.task.model.state_dict().items():
        assert torch.equal(run.average.model.state_dict()[name], value)


def test_the_average_forgets_its_beginning() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    average = WeightAverage(model, 0.9)
    expected = 0.0
    for step in range(30):
        nn.init.constant_(model.weight, step)
        average.update(model, step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
        assert float(average.model.weight.detach()) == pytest.approx(expected, rel=1e-5)
    assert not average.model.weight.requires_grad


def test_what_does_not_learn_is_kept_once() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    model[0].requires_grad_(False)
    average = WeightAverage(model, 0.5)
    assert average.model[0].weight is model[0].weight
    before = model[0].weight.clone()
    nn.init.constant_(model[1].weight, 7.0)
    average.update(model, 1000)
    assert torch.equal(model[0].weight, before)
    assert average.model[1].weight is not model[1].weight
    assert (average.model[1].weight < 7).all()


def test_the_average_has_the_half_life_that_was_asked() -> None:
    assert Settings(batch=64, ema=640).ema_decay() ** 10 == pytest.approx(0.5)


def test_the_learning_rate_warms_up_and_falls() -> None:
    knobs = Settings(images=1000, batch=10, warmup=100, lr=0.5)
    rates = [knobs.learning_rate(images) for images in range(0, 1001, 10)]
    assert rates[0] == pytest.approx(0.5 * 10 / 110)
    assert rates[:11] == sorted(rates[:11])
    assert max(rates) == rates[10] == 0.5
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert knobs.learning_rate(550) == pytest.approx(0.25)
    assert rates[-1] == pytest.approx(0.0, abs=1e-12)
    constant = Settings(images=1000, batch=10, warmup=100, lr=0.5, schedule="constant")
    assert constant.learning_rate(100) == constant.learning_rate(999) == 0.5


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"images": 0}, "--images is 0"),
        ({"batch": 0}, "--batch is 0"),
        ({"checkpoint_every": 0}, "--checkpoint-every is 0"),
        ({"batch": 6, "accumulate": 4}, "--batch 6 cannot be split into --accumulate 4"),
        ({"lr": 0.0}, "--lr is 0.0"),
        ({"lr": float("nan")}, "--lr is nan"),
    ],
)
def test_impossible_knobs_are_refused(given: dict[str, float], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        Settings(**given)


class Dropping(nn.Module):
    """A layer with dropout, whose draws must not depend on what was drawn before."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(nn.functional.dropout(x, 0.5, self.training))


def dropping_task() -> Task[Dropping, torch.Tensor]:
    """Learns to repeat its input."""
    torch.manual_seed(0)
    return Task(
        Dropping(),
        lambda start, size: torch.randn(size, 8, generator=torch.Generator().manual_seed(start)),
        lambda model, batch, rng: ((model(batch) - batch).square().mean(), {}),
    )


def test_dropout_resumes_where_it_was(tmp_path: Path) -> None:
    knobs = {"images": 32, "checkpoint_every": 16}
    loop.train(
        dropping_task(), tiny.settings(**{**knobs, "images": 16}, schedule="constant"), tmp_path / "half", bar=False
    )
    torch.manual_seed(99)
    halves = loop.train(dropping_task(), tiny.settings(**knobs, schedule="constant"), tmp_path / "half", bar=False)
    whole = loop.train(dropping_task(), tiny.settings(**knobs, schedule="constant"), tmp_path / "other", bar=False)
    for name, value in everything(whole).items():
        assert torch.equal(everything(halves)[name], value)

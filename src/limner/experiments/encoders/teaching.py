"""The small world in which ways of teaching an encoder are compared: pictures of 32 pixels, one vision transformer.

All arms see the same pictures and captions in the same order, whatever their batch: progress is counted in pictures.
Learning rates grow with the root of the batch, for all arms alike (Malladi et al., arXiv:2205.10287, for Adam).
"""

from __future__ import annotations

import json
import math
import time
from typing import Any

import torch

from limner.encoders.matcher import ImageTextModel
from limner.evaluate.linear_probe import probe_scores
from limner.experiments.experiment import Experiment
from limner.recipes.encoders import clip, family, superclass
from limner.train.loop import Run, train

IMAGES = 16_000  # 62 steps of 256: what a proof of ten minutes affords
BATCHES = (32, 256)
MEASURED = 250  # test scenes of a probe
TIMED = 10  # steps of each arm, in turn, after one that is not counted
ENCODER: dict[str, Any] = {
    "size": 32,
    "patch": 4,
    "width": 128,
    "depth": 3,
    "vocabulary": 1024,
    "lr": 7e-4,  # this rate and the next at a batch of 32
    "muon": 2e-3,
    "warmup": 2_000,
    "ema": 2_000,
    "weight_decay": 0.05,
    "sample_every": 1_000_000,
    "checkpoint_every": 16_000,
}
TEXT: dict[str, Any] = {"text_width": 128, "text_depth": 2, "joint": 128}


def knobs_of(arm: str, batch: int, seed: int, images: int) -> family.Knobs:
    """Knobs of the arm "superclass" or "clip"."""
    rates = {name: ENCODER[name] * math.sqrt(batch / 32) for name in ("lr", "muon")}
    shared = {**ENCODER, **rates, "batch": batch, "seed": seed, "images": images}
    return superclass.Knobs(**shared) if arm == "superclass" else clip.Knobs(**shared, **TEXT)


def task_of(knobs: family.Knobs) -> family.Lesson:
    """The task of an arm, from the weights of its seed; the encoder starts from the same in both."""
    torch.manual_seed(knobs.seed)
    start = family.encoder(knobs).state_dict()
    task = clip.RECIPE.task(knobs) if isinstance(knobs, clip.Knobs) else _superclass_task(knobs)
    encoder = task.model.encoder
    assert isinstance(encoder, torch.nn.Module)
    encoder.load_state_dict(start)
    return task


def _superclass_task(knobs: family.Knobs) -> family.Lesson:
    assert isinstance(knobs, superclass.Knobs)
    return superclass.RECIPE.task(knobs)


def taught(experiment: Experiment, arm: str, batch: int, seed: int) -> ImageTextModel:
    """An encoder that was taught one way, trained or read back."""
    knobs = knobs_of(arm, batch, seed, round(IMAGES * experiment.scale))
    name = f"{arm}-{batch}"
    folder = experiment.directory.parent / "encoders" / f"{name}-{seed}-{knobs.images}"
    experiment.say(f"encoder {name}, seed {seed}")
    model = train(task_of(knobs), knobs, folder, label=f"{name} seed {seed}").average.model
    assert isinstance(model, ImageTextModel)
    return model.eval()


def accuracies(experiment: Experiment, arm: str, batch: int) -> list[float]:
    """Mean over all linear probes, seed by seed."""
    found = []
    for seed in experiment.seeds:
        scores = probe_scores(taught(experiment, arm, batch, seed).encoder, MEASURED)
        found.append(sum(scores.values()) / len(scores))
        experiment.say(f"{arm}, batch {batch}, seed {seed}: linear probes {found[-1]:.4f}")
    return found


def step_seconds(experiment: Experiment, batch: int) -> dict[str, list[float]]:
    """CPU seconds of a training step of each arm, seed by seed, measured in turn so that both meet the same machine;
    kept, since a second measurement would not say the same."""
    file = experiment.directory.parent / "encoders" / f"seconds-{batch}-{len(experiment.seeds)}.json"
    if file.is_file():
        return json.loads(file.read_text(encoding="utf-8"))
    found: dict[str, list[float]] = {"superclass": [], "clip": []}
    for seed in experiment.seeds:
        runs = {}
        for arm in found:
            knobs = knobs_of(arm, batch, seed, batch)
            runs[arm] = Run(task_of(knobs), knobs, file.parent)
            runs[arm].step()
        spent = dict.fromkeys(found, 0.0)
        for _ in range(TIMED):
            for arm, run in runs.items():
                began = time.process_time()
                run.step()
                spent[arm] += time.process_time() - began
        for arm, seconds in spent.items():
            found[arm].append(round(seconds / TIMED, 5))
        experiment.say(f"a step of {batch}, seed {seed}: {found['superclass'][-1]} s and {found['clip'][-1]} s of CLIP")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(found), encoding="utf-8")
    return found

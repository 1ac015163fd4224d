"""SuperClass against CLIP: one vision transformer, the same pictures in the same order, batches of 32 and of 256."""

from __future__ import annotations

import time
from pathlib import Path

from limner.evaluate.statistics import gain_over_seeds, over_seeds
from limner.experiments.claims import Comparison, Measured, no_worse
from limner.experiments.encoders.arms import CLIP, LARGE, SMALL, SUPERCLASS
from limner.experiments.experiment import Experiment
from limner.experiments.scores import of_seeds
from limner.experiments.world import Arm, knobs_of
from limner.store.folder import find_recipe
from limner.train.run import Run

TIMED = 10  # steps of each arm, in turn, after one that is not counted


def steps_cost_less(experiment: Experiment) -> Measured:
    """CPU seconds of a step, of both batches: SuperClass < CLIP."""
    found, held = {}, True
    for batch in (SMALL, LARGE):
        seconds = step_seconds(experiment, (SUPERCLASS[batch], CLIP[batch]))
        own, other = seconds
        favour = gain_over_seeds(other, own)
        held = held and favour["interval"][0] > 0
        found[str(batch)] = {"superclass": over_seeds(own), "clip": over_seeds(other), "clip - superclass": favour}
    return held, {"seconds of a step": found}


def step_seconds(experiment: Experiment, arms: tuple[Arm, ...]) -> list[list[float]]:
    """CPU seconds of a training step of each arm, seed by seed, measured in turn so that all meet the same machine."""
    found: list[list[float]] = [[] for _ in arms]
    for seed in experiment.seeds:
        runs = []
        for arm in arms:
            knobs = knobs_of(experiment, arm, seed)
            runs.append(Run(find_recipe(arm.path).task(knobs), knobs, Path()))
            runs[-1].step()
        spent = [0.0 for _ in arms]
        for _ in range(TIMED):
            for number, run in enumerate(runs):
                began = time.process_time()
                run.step()
                spent[number] += time.process_time() - began
        for number, seconds in enumerate(spent):
            found[number].append(seconds / TIMED)
        experiment.say(f"a step, seed {seed}: {[round(one[-1], 4) for one in found]} s")
    return found


def batches_matter_less(experiment: Experiment) -> Measured:
    """Mean linear probe lost from the larger batch to the smaller: less by SuperClass than by CLIP."""
    lost = []
    for arms in (SUPERCLASS, CLIP):
        large, small = (of_seeds(experiment, arms[batch], "probe") for batch in (LARGE, SMALL))
        lost.append([before - after for before, after in zip(large, small, strict=True)])
    favour = gain_over_seeds(lost[1], lost[0])
    measured = {"superclass": over_seeds(lost[0]), "clip": over_seeds(lost[1]), "clip - superclass": favour}
    return favour["interval"][0] > 0, {"probe lost": measured}


CLAIMS = (
    no_worse(SUPERCLASS[LARGE], CLIP[LARGE], 0.01, "probe"),
    Comparison(
        (),  # a step costs what it costs, whatever was learned
        f"CPU seconds of a step, batches of {SMALL} and {LARGE}: superclass < clip",
        "an interval of the gap in seconds that holds 0 or favours clip, at either batch",
        steps_cost_less,
        "clip",
        ways=("superclass", "clip"),
    ),
    Comparison(
        (*SUPERCLASS.values(), *CLIP.values()),
        f"probe at {LARGE} less that at {SMALL}: superclass < clip",
        "an interval of the gap in what is lost that holds 0 or favours clip",
        batches_matter_less,
        "clip",
    ),
)

"""SuperClass against CLIP: one vision transformer, the same pictures in the same order, batches of 32 and of 256."""

from __future__ import annotations

from limner.experiments.encoders import teaching
from limner.experiments.encoders.teaching import accuracies, step_seconds
from limner.experiments.experiment import Experiment, Finding
from limner.experiments.smallworld import gap, summary

Probed = dict[str, dict[int, list[float]]]  # mean linear probe by arm and batch, seed by seed
ARMS = ("superclass", "clip")
MARGIN = 0.01  # as good: not worse by more than a point


def findings(experiment: Experiment) -> tuple[Finding, ...]:
    """One per claim of the recipe."""
    probed = {arm: {batch: accuracies(experiment, arm, batch) for batch in teaching.BATCHES} for arm in ARMS}
    return probes_as_well(probed), steps_cost_less(experiment), batches_matter_less(probed)


def probes_as_well(probed: Probed) -> Finding:
    """Mean linear probe: SuperClass - CLIP, at the larger batch, which suits CLIP, is beyond doubt above -1 point."""
    found = {arm: of_batch[max(teaching.BATCHES)] for arm, of_batch in probed.items()}
    difference = gap(found["clip"], found["superclass"])
    measured = {arm: summary(values) for arm, values in found.items()}
    return Finding(difference["interval"][0] >= -MARGIN, {"probe": measured, "superclass - clip": difference})


def steps_cost_less(experiment: Experiment) -> Finding:
    """CPU seconds of a step, of both batches: SuperClass < CLIP."""
    seconds = {str(batch): step_seconds(experiment, batch) for batch in teaching.BATCHES}
    gaps = {batch: gap(found["superclass"], found["clip"]) for batch, found in seconds.items()}
    measured = {batch: {arm: summary(v) for arm, v in found.items()} for batch, found in seconds.items()}
    holds = all(difference["interval"][0] > 0 for difference in gaps.values())
    return Finding(holds, {"seconds": measured, "clip - superclass": gaps})


def batches_matter_less(probed: Probed) -> Finding:
    """Mean linear probe lost from the larger batch to the smaller: less by SuperClass than by CLIP."""
    small, large = min(teaching.BATCHES), max(teaching.BATCHES)
    lost = {
        arm: [before - after for before, after in zip(of_batch[large], of_batch[small], strict=True)]
        for arm, of_batch in probed.items()
    }
    difference = gap(lost["superclass"], lost["clip"])
    measured = {arm: summary(values) for arm, values in lost.items()}
    return Finding(difference["interval"][0] > 0, {"lost": measured, "clip - superclass": difference})

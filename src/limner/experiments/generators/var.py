"""VAR: next-scale in 6 passes against a causal transformer of as many parameters in 64; each over its own tokenizer,
which differ in the quantizer between the same encoder and decoder."""

from __future__ import annotations

from limner.experiments.experiment import Experiment, Finding
from limner.experiments.generators.baselines import RASTER
from limner.experiments.generators.drawing import Arm, found, rebuilt
from limner.recipes.generators import var

SCALES = Arm("var", var.RECIPE, "multiscale", {"depth": 3, "temperature": 1.0, "cooled": False})


def findings(experiment: Experiment) -> tuple[Finding, ...]:
    """One per claim of the recipe."""
    return (scales_beat_raster(experiment),)


def scales_beat_raster(experiment: Experiment) -> Finding:
    """Frechet distance: next-scale < raster, and in fewer passes."""
    scales, raster = found(experiment, SCALES), found(experiment, RASTER)
    gap = raster.less(scales)
    fewer = scales.scores[0].passes < raster.scores[0].passes
    measured = {
        "next-scale": scales.report(),
        "raster": raster.report(),
        "tokenizers": {name: rebuilt(experiment, name) for name in ("multiscale", "vq")},
    }
    return Finding(fewer and gap["interval"][0] > 0, {"drawings": measured, "raster - next-scale": gap})

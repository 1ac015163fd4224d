"""MAR with several heads: one VAE, one backbone, one budget."""

from __future__ import annotations

from limner.experiments.experiment import Experiment, Finding
from limner.experiments.smallworld import drawing_distances, gap, summary


def findings(experiment: Experiment) -> tuple[Finding, ...]:
    """One per claim of the recipe."""
    return heads_in_order(experiment), continuous_beats_codes(experiment)


def heads_in_order(experiment: Experiment) -> Finding:
    """Frechet distance: diffusion < mixture < regression on the same 16 latents."""
    heads = ("diffusion", "mixture", "regression")
    found = {head: drawing_distances(experiment, "vae", head) for head in heads}
    gaps = {
        "mixture - diffusion": gap(found["diffusion"], found["mixture"]),
        "regression - mixture": gap(found["mixture"], found["regression"]),
    }
    holds = all(entry["interval"][0] > 0 for entry in gaps.values())
    return Finding(holds, {"frechet": {name: summary(values) for name, values in found.items()}, "gaps": gaps})


def continuous_beats_codes(experiment: Experiment) -> Finding:
    """Frechet distance: diffusion on 16 VAE latents < categorical on 16 VQ codes, same masked backbone."""
    diffusion = drawing_distances(experiment, "vae", "diffusion")
    categorical = drawing_distances(experiment, "vq", "categorical")
    difference = gap(diffusion, categorical)
    measured = {"vae, diffusion": summary(diffusion), "vq, categorical": summary(categorical)}
    return Finding(difference["interval"][0] > 0, {"frechet": measured, "categorical - diffusion": difference})

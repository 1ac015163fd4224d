"""VAE against AE as what MAR draws with."""

from __future__ import annotations

from limner.experiments.experiment import Experiment, Finding
from limner.experiments.smallworld import drawing_distances, gap, summary


def findings(experiment: Experiment) -> tuple[Finding, ...]:
    """One per claim of the recipe."""
    return (draws_better_than_ae(experiment),)


def draws_better_than_ae(experiment: Experiment) -> Finding:
    """The same MAR on VAE latents and on AE latents: Frechet distance of what it draws."""
    found = {name: drawing_distances(experiment, name, "diffusion") for name in ("vae", "ae")}
    difference = gap(found["vae"], found["ae"])
    measured = {name: summary(values) for name, values in found.items()}
    return Finding(difference["interval"][0] > 0, {"frechet": measured, "ae - vae": difference})

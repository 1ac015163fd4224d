"""AE against VAE and VQ-VAE: equal network, data, order and steps."""

from __future__ import annotations

import torch

from limner.experiments import smallworld
from limner.experiments.experiment import Experiment, Finding
from limner.experiments.smallworld import gap, held_out, summary, tokenizer
from limner.tokenizers.autoencoder import Autoencoder


def findings(experiment: Experiment) -> tuple[Finding, ...]:
    """One per claim of the recipe."""
    return rebuilds_in_order(experiment), prior_draws(experiment)


@torch.no_grad()
def psnr_of(model: Autoencoder) -> float:
    """Mean PSNR in dB on the held-out pictures."""
    image = held_out(model.size)
    mse = (model.decode(model.encode(image)) - image).square().mean((1, 2, 3))
    return float((10 * torch.log10(4 / mse)).mean())


def rebuilds_in_order(experiment: Experiment) -> Finding:
    """PSNR: AE >= VAE >= VQ-VAE, each gap at least 0 over the seeds' interval."""
    scores = {name: [psnr_of(tokenizer(experiment, name, s)) for s in experiment.seeds] for name in ("ae", "vae", "vq")}
    gaps = {"ae - vae": gap(scores["vae"], scores["ae"]), "vae - vq": gap(scores["vq"], scores["vae"])}
    holds = all(entry["interval"][0] >= 0 for entry in gaps.values())
    return Finding(holds, {"psnr": {name: summary(values) for name, values in scores.items()}, "gaps": gaps})


def prior_draws(experiment: Experiment) -> Finding:
    """Frechet distance of decoded N(0, I): VAE below AE."""
    real = held_out(smallworld.SIZE)
    found = {
        name: [smallworld.prior_distance(tokenizer(experiment, name, s), real, s) for s in experiment.seeds]
        for name in ("ae", "vae")
    }
    difference = gap(found["vae"], found["ae"])
    measured = {name: summary(values) for name, values in found.items()}
    return Finding(difference["interval"][0] > 0, {"frechet": measured, "ae - vae": difference})

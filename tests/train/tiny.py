"""A real training small enough to be killed many times: a VQ-VAE with a discriminator on pictures of 16 pixels.

Run as a program it trains in a child process which it kills at random moments, and lets the last child finish.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from limner.data.source import Example
from limner.data.stream import Stream, shifted
from limner.lessons.pictures import TokenizerTask, tokenizer_task
from limner.tokenizers.autoencoder import Autoencoder
from limner.tokenizers.discriminator import PatchDiscriminator
from limner.tokenizers.objective import ReconstructionObjective
from limner.tokenizers.quantizers.continuous import Identity
from limner.tokenizers.quantizers.quantizer import Quantizer
from limner.tokenizers.quantizers.vector import VectorQuantizer
from limner.train import loop
from limner.train.settings import Settings

SIZE = 16
TOTAL = 96


class Discs:
    """A `Source` of one coloured disc on another colour."""

    name = "discs"

    def __len__(self) -> int:
        return 50

    def __getitem__(self, index: int) -> Example:
        rng = np.random.default_rng(index)
        y, x = np.mgrid[:SIZE, :SIZE]
        row, column, radius = rng.uniform(4, 12, 3)
        inside = (y - row) ** 2 + (x - column) ** 2 < (radius / 2) ** 2
        image = np.where(inside[..., None], *rng.integers(0, 256, (2, 3)))
        return Example(image.astype(np.uint8), "a disc", index)


def task(quantizer: Quantizer | None = None, adversarial: float = 0.1) -> TokenizerTask:
    """The training, from the same weights every time."""
    torch.manual_seed(0)
    model = Autoencoder(
        quantizer or VectorQuantizer(16, 4),
        size=SIZE,
        widths=(8, 16),
        encoder_depths=(1, 1),
        decoder_depths=(1, 1),
    )
    objective = ReconstructionObjective(
        adversarial=adversarial, discriminator=PatchDiscriminator(4) if adversarial else None
    )
    return tokenizer_task(
        model, Stream([Discs()], vary=[shifted]), objective, {"discs": Discs()}, objective.discriminator
    )


def plain_task() -> TokenizerTask:
    """Without codebook and discriminator: the loss of a batch is the mean of its parts."""
    return task(Identity(4), 0.0)


def settings(**changed: object) -> Settings:
    """Short knobs; one thread, so that sums have one order."""
    knobs = {
        "images": TOTAL,
        "batch": 4,
        "warmup": 20,
        "ema": 40,
        "threads": 1,
        "sample_every": 10**6,
        "checkpoint_every": 16,
    }
    return Settings(**{**knobs, **changed})


def train(directory: Path, **changed: object) -> loop.Run:
    """Train, or go on."""
    return loop.train(task(), settings(**changed), directory, bar=False)


def killed_at_random(directory: Path, precision: str, kills: int, seed: int = 0) -> int:
    """Kill the training up to ``kills`` times, then let it finish; returns how often it was killed."""
    rng, deaths = random.Random(f"{precision} {seed}" if seed else precision), 0
    while True:
        child = os.fork()
        if child == 0:
            train(directory, precision=precision)
            os._exit(0)
        if deaths < kills:
            known = {path.name for path in directory.glob("images-*")}
            status = wait(child, lambda known=known: {path.name for path in directory.glob("images-*")} <= known)
            if status is None:  # it has made a checkpoint, so that all together get somewhere
                time.sleep(rng.uniform(0, 0.2))
                os.kill(child, signal.SIGKILL)
        else:
            status = None
        if status is None:
            status = os.waitpid(child, 0)[1]
        if not os.WIFSIGNALED(status):
            assert status == 0, f"the training ended with status {status}"
            return deaths
        deaths += 1


def wait(child: int, busy: Callable[[], bool]) -> int | None:
    """Wait while ``busy``; the exit status of the child if it ends meanwhile."""
    while busy():
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        time.sleep(0.001)
    return None


if __name__ == "__main__":
    import torch.utils.tensorboard  # once, not in every child

    torch.set_num_threads(1)
    for name in ("fp32", "bf16"):
        print(name, killed_at_random(Path(sys.argv[1]) / name, name, kills=4))

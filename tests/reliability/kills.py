"""Writers that are killed by SIGKILL at random moments, each in a child of this process. Run as a program:

python -m tests.reliability.kills train|checkpoint|model FOLDER TRIALS    prints how many were tried and how many held
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from tests.train import tiny

from limner.store.files import checked_weights, read_card, write
from limner.train import checkpoint

SIZES = 60_000  # numbers of a tensor, so that a save takes some milliseconds


def killed(write_on: Callable[[Callable[[int], None]], None], after: float) -> int:
    """Run a writer in a child, kill it ``after`` seconds from its first save; returns the last save it acknowledged."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read_end)
        write_on(lambda number: os.write(write_end, number.to_bytes(4, "big")) and None)
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as acknowledged:
        last = acknowledged.read(4)
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        rest = acknowledged.read()
    return int.from_bytes((last + rest)[-4:], "big")


def checkpoints(folder: Path, rng: random.Random) -> bool:
    """Checkpoints one after the other: the newest is the last acknowledged or a later one, whole, without a note."""

    def writer(acknowledge: Callable[[int], None]) -> None:
        for number in range(1, 10_000):
            content = {"model": {"x": torch.full((SIZES,), float(number))}}
            checkpoint.save(folder, number, content, {"images": number})
            acknowledge(number)

    last = killed(writer, rng.uniform(0, 0.05))
    found, notes = checkpoint.newest(folder)
    if found is None or notes:
        return False
    tensors, state = checkpoint.load(found)
    return state["images"] >= last and bool((tensors["model"]["x"] == state["images"]).all())


def models(folder: Path, rng: random.Random) -> bool:
    """A model saved over another again and again, every second one over a tokenizer of its own: card, weights and
    tokenizer are of one save, the last acknowledged or a later one."""
    tokenizers = [folder / f"of-{number}" for number in range(2)]
    for number, tokenizer in enumerate(tokenizers):
        write(tokenizer, {"x": torch.full((8,), float(number))}, {"recipe": "r", "knobs": {}, "which": number}, {})

    def writer(acknowledge: Callable[[int], None]) -> None:
        for number in range(1, 10_000):
            card = {"recipe": "r", "knobs": {"tokenizer": str(tokenizers[number % 2])}, "which": number}
            write(folder / "model", {"x": torch.full((SIZES,), float(number))}, card, {})
            acknowledge(number)

    last = killed(writer, rng.uniform(0, 0.05))
    card = read_card(folder / "model")
    inner = read_card(folder / "model/tokenizer")
    checked_weights(folder / "model/tokenizer", inner)
    weights = checked_weights(folder / "model", card)["x"]
    return card["which"] >= last and bool((weights == card["which"]).all()) and inner["which"] == card["which"] % 2


def trainings(folder: Path, trials: int) -> tuple[int, int]:
    """Trainings killed up to four times each end byte for byte as one that was not."""
    tiny.train(folder / "whole", precision="fp32")
    wanted = _end(folder / "whole")
    tried = held = number = 0
    while tried < trials:
        number += 1
        deaths = tiny.killed_at_random(folder / str(number), "fp32", min(4, trials - tried), seed=number)
        tried += deaths
        held += deaths if _end(folder / str(number)) == wanted else 0
        shutil.rmtree(folder / str(number))
    return tried, held


def _end(folder: Path) -> dict[str, str]:
    return json.loads((folder / f"images-{tiny.TOTAL:012d}/manifest.json").read_text())["files"]


def main(what: str, folder: Path, trials: int) -> tuple[int, int]:
    """Trials made, and those that held."""
    if what == "train":
        return trainings(folder, trials)
    held = 0
    for number in range(trials):
        place = folder / str(number)
        held += (checkpoints if what == "checkpoint" else models)(place, random.Random(number))
        shutil.rmtree(place)
    return trials, held


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1] == "train":
        import torch.utils.tensorboard  # once, not in every child
    print(*main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))

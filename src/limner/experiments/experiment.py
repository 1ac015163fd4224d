"""What an experiment is given and what it finds.

A module ``experiments/<family>/<name>.py`` answers for the claims of the recipe at the same path: its
``findings(experiment)`` returns one `Finding` per claim, in the recipe's order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Experiment:
    """How an experiment is run: seeds, images per training (times ``scale``), the folder of its trainings, so that it
    can be resumed, and what to tell the person who waits."""

    seeds: tuple[int, ...]
    scale: float
    directory: Path
    say: Callable[[str], None]


@dataclass(frozen=True)
class Finding:
    """What the experiment of a claim found. ``holds`` compares ``measured`` with its baselines under the claim's own
    bound; ``measured`` holds every number with its seeds and confidence interval, ready for JSON."""

    holds: bool
    measured: dict[str, Any]

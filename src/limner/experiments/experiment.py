"""How an experiment is run, and what it finds.

A module ``experiments/<family>/<name>.py`` answers for the claims of the recipe at the same path: its ``CLAIMS`` holds
one `limner.experiments.claims.Comparison` per claim, in the recipe's order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limner.catalogue.listing import Verdict


@dataclass(frozen=True)
class Experiment:
    """How an experiment is run.

    Args:
        seeds: of the repetitions; intervals are over them.
        scale: share of the images that each training sees, and of the pictures there are.
        directory: folder of all trainings and scores, shared by all experiments, so that they can go on.
        say: reports progress to the person who waits.
    """

    seeds: tuple[int, ...]
    scale: float
    directory: Path
    say: Callable[[str], None]


@dataclass(frozen=True)
class Finding:
    """What the experiment of a claim found.

    Args:
        held: does the comparison keep its bound; None if an arm had not learned its task, which decides nothing.
        competence: by arm and score, ``{"bar", "values", "mean", "passed"}``; a value per seed.
        measured: every number with its seeds and confidence interval, ready for JSON.
    """

    held: bool | None
    competence: dict[str, dict[str, Any]]
    measured: dict[str, Any]

    @property
    def verdict(self) -> Verdict:
        """The finding in words."""
        return "undecided" if self.held is None else "held" if self.held else "not held"

    def to_json(self) -> dict[str, Any]:
        """Verdict, competence and numbers, as in a proof."""
        return {
            "verdict": self.verdict,
            "held": self.held,
            "competence": self.competence,
            "measured": self.measured,
        }

"""What a recipe is: a published system as knobs, a model, a way to train it, and the claims it must live up to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import nn

from limner.train.settings import Settings
from limner.train.task import Task


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper, and where it stands. ``limner.experiments`` holds the experiment that shows it."""

    text: str
    source: str


@dataclass(frozen=True)
class Question:
    """What ``limner evaluate`` asks of a model: its ``name``; ``count`` pictures or prompts per score (None: the
    protocol's own); the ``seed`` of what is drawn; and ``inception``, a file of Inception-v3 weights that takes the
    place of limner's feature net in Frechet distances."""

    name: str
    count: int | None = None
    seed: int = 0
    inception: Path | None = None


@dataclass(frozen=True)
class Recipe:
    """One published system.

    Args:
        system: id in the catalogue, or None for a baseline that is no row of it.
        state: how much of the system works here.
        paper: where it was published.
        knobs: a flat frozen dataclass, `Settings` and what the system adds; ``knobs()`` is what was shipped.
        build: the model of these knobs, freshly initialised.
        task: the model with its data and loss, to train.
        score: scores of a finished model with their protocol, as ``limner evaluate --json`` prints; None for what is
            itself a measure.
        claims: what is proven about it.
    """

    state: Literal["works", "partly"]
    paper: str
    knobs: type[Settings]
    build: Callable[[Any], nn.Module]
    task: Callable[[Any], Task]
    score: Callable[[Any, Question], dict[str, Any]] | None = None
    system: str | None = None
    claims: tuple[Claim, ...] = ()


@dataclass(frozen=True)
class Measure:
    """A published way to measure models: a row of the catalogue with claims to prove and nothing to build or train.

    Args:
        system: id in the catalogue.
        state: how much of the system works here.
        paper: where it was published.
        measure: what does the measuring.
        claims: what is proven about it.
    """

    system: str
    state: Literal["works", "partly"]
    paper: str
    measure: Callable[..., Any]
    claims: tuple[Claim, ...] = ()

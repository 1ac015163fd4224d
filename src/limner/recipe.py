"""The three kinds of recipe: a model, a technique that changes a model, and a measure of models.

    RECIPE = Recipe(system="mar", state="works", knobs=Knobs, build=build, ..., tiny={...}, claims=(Claim(...),))
    RECIPE = Technique(system="gsd", state="works", knobs=Knobs, apply=apply, on=Decoder, host="generators/llamagen")
    RECIPE = Measure(system="mmstar", state="works", measure=audit, claims=(Claim(...),))

A module of ``limner.recipes`` assigns one of them to ``RECIPE``. `limner.catalogue.recipes` lists them by reading the
literals of these calls, without importing anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from torch import nn

from limner.data.images import MAX_PIXELS
from limner.errors import InputError
from limner.train.settings import Settings
from limner.train.task import Task

State = Literal["works", "partly"]
KnobsT = TypeVar("KnobsT")
ChangedT = TypeVar("ChangedT")
SettingsT = TypeVar("SettingsT", bound=Settings)
ModelT = TypeVar("ModelT", bound=nn.Module)


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper, and where it stands. ``limner.experiments`` holds the experiment that shows it."""

    text: str
    source: str


@dataclass(frozen=True)
class EvaluationRequest:
    """What ``limner evaluate`` asks of a model: its ``name``; ``count`` pictures or prompts per score (None: the
    protocol's own); the ``seed`` of what is drawn; and ``inception``, a file of Inception-v3 weights that takes the
    place of limner's feature net in Frechet distances.

    ``data``: the user's own data in place of the protocol's (a folder of pictures, tar shards, or for models that
    answer a JSON file, whose ``pictures`` lie in a folder); pictures of more than ``max_pixels`` are refused."""

    name: str
    count: int | None = None
    seed: int = 0
    inception: Path | None = None
    data: str | None = None
    pictures: Path | None = None
    max_pixels: int = MAX_PIXELS


@dataclass(frozen=True)
class Recipe(Generic[SettingsT, ModelT]):
    """One published system.

    Args:
        system: id in the catalogue, or None for a baseline that is no row of it.
        state: how much of the system works here.
        paper: where it was published.
        knobs: a flat frozen dataclass, `Settings` and what the system adds; ``knobs()`` is what was shipped.
        build: the model of these knobs, freshly initialised.
        lesson: the task of training a model that ``build`` made: data and loss.
        score: scores of a finished model with their protocol, as ``limner evaluate --json`` prints; None for what is
            itself a measure.
        tiny: knobs of the smallest model that still shows the mechanism, for the tests.
        claims: what is proven about it.
    """

    state: State
    paper: str
    knobs: type[SettingsT]
    build: Callable[[SettingsT], ModelT]
    lesson: Callable[[SettingsT, ModelT], Task[ModelT, Any]]
    score: Callable[[ModelT, EvaluationRequest], dict[str, Any]] | None = None
    system: str | None = None
    tiny: Mapping[str, Any] = field(default_factory=dict)
    claims: tuple[Claim, ...] = ()

    def task(self, knobs: SettingsT) -> Task[ModelT, Any]:
        """A freshly initialised model with its lesson."""
        return self.lesson(knobs, self.build(knobs))


@dataclass(frozen=True)
class Technique(Generic[ChangedT, KnobsT]):
    """A published way to change a model that is already trained: an accelerator, a token reduction, a control.

    Command line: ``limner draw --with NAME:knob=value``, ``limner see --with NAME``; Python: `change`.

    Args:
        state: how much of the system works here.
        paper: where it was published.
        knobs: a flat frozen dataclass; ``knobs()`` is the paper's choice.
        apply: returns the changed model or decoder; it may change the one that it receives. Raises `InputError` if a
            part does not suit it, such as a head without codes.
        on: the class or runtime protocol of what ``apply`` takes: a model (`ImageGenerator`, `VisionLanguageModel`) or
            the `Decoder` that a model draws with.
        host: a recipe such as ``generators/llamagen`` whose models it suits; the tests apply it to one.
        system: id in the catalogue, or None.
        tiny: knobs for the tests' tiny host.
        neutral: knobs, besides ``tiny``, under which the host draws at temperature 0 what it draws without the
            technique, token by token, or sees to the bit as without it; None if there are none.
        claims: what is proven about it.
    """

    state: State
    paper: str
    knobs: type[KnobsT]
    apply: Callable[[ChangedT, KnobsT], ChangedT]
    on: type[ChangedT]
    host: str
    system: str | None = None
    tiny: Mapping[str, Any] = field(default_factory=dict)
    neutral: Mapping[str, Any] | None = None
    claims: tuple[Claim, ...] = ()

    def change(self, model: nn.Module, knobs: KnobsT | None = None) -> nn.Module:
        """The model with this technique; ``model`` itself is changed, and several techniques compose in call order.

        The technique finds what it changes in the model itself or in one of its children (a unified model holds a model
        that draws). Raises `InputError` if neither is an ``on``.
        """
        from limner.decode.decoder import Decoder
        from limner.models.text_to_image import ImageGenerator

        chosen = self.knobs() if knobs is None else knobs
        for name, part in [("", model), *model.named_children()]:
            if issubclass(Decoder, self.on) and isinstance(part, ImageGenerator):
                part.change_decoder(partial(_applied, self.apply, chosen))
                return model
            if isinstance(part, self.on):
                changed: Any = self.apply(part, chosen)
                if not name:
                    return changed
                setattr(model, name, changed)
                return model
        raise InputError(
            f"this technique is for {self.on.__name__} and not for {type(model).__name__}: choose a model of "
            f"{self.host} or alike"
        )


def _applied(apply: Callable[[Any, KnobsT], Any], knobs: KnobsT, decoder: Any) -> Any:
    return apply(decoder, knobs)


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
    state: State
    paper: str
    measure: Callable[..., Any]
    claims: tuple[Claim, ...] = ()

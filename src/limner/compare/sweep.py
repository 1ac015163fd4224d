"""Quality against passes: a finished generator draws the same held-out captions in ever more steps.

What is swept is what the order leaves open: steps of the order where it allows several, as a masked order does; else,
where the trunk itself denoises, steps of its solver. What allows neither is measured at its own number. A *forward
pass* is one call of the backbone, with guidance in the same batch, however many tokens it predicts.
"""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from torch import nn

from limner.compare.budget import clock
from limner.decode.options import DrawOptions, with_options
from limner.errors import InputError
from limner.evaluate.records import numbers, read_record
from limner.generators.generator import Generator
from limner.generators.heads.head import IteratingHead
from limner.lessons.captions import PREVIEW
from limner.models.text_to_image import TextToImage
from limner.recipe import EvaluationRequest, Recipe
from limner.types import Image, Rng, derive_seed

POWERS = tuple(2**power for power in range(12))


OWN: DrawOptions = {}


def name_of(options: DrawOptions) -> str:
    """As part of a file's name."""
    parts = [f"{name}-{value}" for name, value in options.items() if value is not None]
    return "-".join(parts).replace("_", "-") or "own"


@dataclass(frozen=True)
class Point:
    """What a model does at one pace: forward passes and processor seconds per picture (None where nothing is drawn),
    and the report of its scores."""

    pace: DrawOptions
    own: bool
    passes: int | None
    seconds: float | None
    report: dict[str, Any]


def points(
    recipe: Recipe, model: nn.Module, folder: Path, count: int, seed: int, say: Callable[[str], None]
) -> list[Point]:
    """All points of a finished model, each kept in its folder as soon as it is measured; a model that draws nothing has
    one, at its own pace."""
    assert recipe.score is not None, "what is trained has scores"
    found = []
    for pace in paces(model) if isinstance(model, TextToImage) else [OWN]:
        path = folder.parent / "scores" / f"{name_of(pace)}.json"
        if not path.is_file():
            say(f"{folder.parent.parent.name}, seed {seed}: scores, pace {name_of(pace)}")
            _keep(_measured(recipe, model, pace, EvaluationRequest(str(folder), count, seed)), path)
        found.append(read_record(path, "no point of a comparison", "delete it, and it is measured again", _point))
    return found


def _point(content: Any) -> Point:
    point = Point(**content)
    numbers(
        {name: value for name, value in asdict(point).items() if name in ("passes", "seconds") and value is not None}
    )
    numbers(point.report["scores"], finite=False)
    if not isinstance(point.pace, dict):
        raise TypeError(f"the pace is {point.pace!r}")
    return point


def _measured(recipe: Recipe, model: nn.Module, pace: DrawOptions, request: EvaluationRequest) -> Point:
    assert recipe.score is not None
    if not isinstance(model, TextToImage):
        return Point(pace, True, None, None, recipe.score(model, request))
    drawer = paced(model, pace)
    passes = forward_passes(drawer)
    _, seconds = preview(drawer)
    return Point(pace, passes == forward_passes(model), passes, seconds, recipe.score(drawer, request))


def _keep(point: Point, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".writing")
    aside.write_text(json.dumps(asdict(point), indent=1) + "\n", encoding="utf-8")
    aside.replace(path)


def paces(model: TextToImage) -> list[DrawOptions]:
    """The paces that are measured, slow ones last, the model's own among them."""
    generator = model.generator
    own = int(generator.order.decoding_steps(1, generator.layout, model.steps, Rng(0)).max())
    steps = sorted({*POWERS, own, generator.count})
    if len(allowed := [number for number in steps if _allows(generator, number)]) > 1:
        return [{"steps": number} for number in allowed]
    if not isinstance(generator.head, IteratingHead):
        return [OWN]
    passes = forward_passes(model)
    heads: list[DrawOptions] = [{"head_steps": number} for number in POWERS if number > 1]
    return [*takewhile(lambda pace: forward_passes(model, pace) < passes, heads), OWN]


def _allows(generator: Generator, steps: int) -> bool:
    try:
        generator.order.decoding_steps(1, generator.layout, steps, Rng(0))
    except InputError:
        return False
    return True


def paced(model: TextToImage, pace: DrawOptions) -> TextToImage:
    """The model with other options of its own; its weights are shared."""
    other, own = copy.copy(model), model.decoder
    other.steps = pace.get("steps") or model.steps
    other.decoder = lambda generator: with_options(own(generator), head_steps=pace.get("head_steps"))
    return other


def forward_passes(model: TextToImage, pace: DrawOptions = OWN) -> int:
    """How often the backbone runs for one picture: the calls of that of its blocks that is called most."""
    calls: Counter[nn.Module] = Counter()
    backbone = model.generator.get_submodule("backbone")
    stacks = [part for part in backbone.modules() if isinstance(part, nn.ModuleList)]
    blocks = {block for stack in stacks for block in stack}
    hooks = [block.register_forward_pre_hook(lambda block, _: calls.update([block])) for block in blocks]
    try:
        model.images(PREVIEW[:1], [0], **pace)
    finally:
        for hook in hooks:
            hook.remove()
    return max(calls.values())


def preview(model: TextToImage) -> tuple[Image, float]:
    """Drawings of the preview prompts as one batch, and the seconds that one of them took."""
    seeds = [derive_seed(0, "preview", i) for i in range(len(PREVIEW))]
    now = clock(next(model.parameters()).device.type)
    began = now()
    pictures = model.images(PREVIEW, seeds)
    return pictures, (now() - began) / len(PREVIEW)

"""``limner evaluate``: scores of a model, with their protocol."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from limner.cli.command import Flag, Precision, parse, print_json, standard_output_kept
from limner.data.images import MAX_PIXELS
from limner.errors import InputError

EXAMPLES = """\
  limner evaluate vae-64
  limner evaluate mar-emoji-64 --json
  limner evaluate runs/my-vae --count 200
  limner evaluate runs/my-vae --data my-pictures"""


@dataclass(frozen=True)
class Evaluate:
    """Score a model. Scores are comparable only if their protocols are equal."""

    model: Positional[str]
    """A model that ships with limner, or the folder of one that you trained."""
    count: Annotated[int | None, arg(help_behavior_hint="(default: the protocol's own)")] = None
    """Pictures or prompts per score; fewer is faster and makes another protocol."""
    seed: int = 0
    """Seed of whatever is drawn; part of the protocol."""
    inception: Annotated[Path | None, arg(help_behavior_hint="(default: limner's own feature net)")] = None
    """File of Inception-v3 weights (.safetensors or .pth) for Frechet distances as papers report them."""
    data: str | None = None
    """Your own data instead of the protocol's: a folder of pictures (with captions, for a model that draws or reads),
    tar shards, or for a model that answers a JSON file of conversations or a JSONL file of questions."""
    pictures: Path | None = None
    """Of a JSON file: the folder that its pictures' paths start from; without it, the file's own."""
    max_pixels: int = MAX_PIXELS
    """Pictures of yours with more pixels are refused before they are decoded."""
    device: Annotated[str, arg(metavar="DEVICE")] = "cpu"
    """Where to compute: cpu, cuda, mps. Scores of other devices may differ in the last digits."""
    dtype: Precision = "fp32"
    """Arithmetic of matrix products; scores that are compared are of fp32."""
    json: Flag = False
    """Print one object {"model", "protocol", "weights", "scores", "hash"} and nothing else."""


def run(arguments: list[str]) -> None:
    """Measures and prints."""
    options = parse(Evaluate, "limner evaluate", EXAMPLES, arguments)
    with standard_output_kept(options.json):
        report = evaluate(options)
    if options.json:
        print_json(report)
        return
    width = max(map(len, report["scores"]), default=0)
    for name, value in report["scores"].items():
        print(f"{name:<{width}}  {value:.4g}")
    print(f"protocol {report['protocol']['hash']}, weights {report['weights'][:16]}")


def evaluate(options: Evaluate) -> dict[str, Any]:
    """``{"model", "protocol", "weights", "scores", "hash"}``; the scores are named as in ``psnr/emoji``."""
    from limner.nn.devices import arithmetic, find_device
    from limner.recipe import EvaluationRequest
    from limner.store.files import locate, read_card
    from limner.store.folder import load, recipe_of

    if options.count is not None and options.count < 1:
        raise InputError(f"--count is {options.count}, but must be at least 1")
    if options.pictures is not None and options.data is None:
        raise InputError("--pictures belongs to a JSON file of --data: name that, or leave it out")
    device, folder = find_device(options.device), locate(options.model)
    recipe = recipe_of(read_card(folder), folder)
    if recipe.score is None:
        raise InputError(f"{options.model} is a measure itself and has no scores: evaluate a tokenizer or a generator")
    request = EvaluationRequest(
        options.model,
        options.count,
        options.seed,
        options.inception,
        options.data,
        options.pictures,
        options.max_pixels,
    )
    with arithmetic(device, options.dtype):
        return recipe.score(load(options.model).to(device), request)

"""Everything about a generator: does it draw what was asked, and do its drawings look like real ones as a set?"""

from __future__ import annotations

from typing import Any

import torch

from limner.encoders.features import FeatureNet
from limner.encoders.recogniser import Recogniser
from limner.evaluate.frechet import FeatureFn, frechet_distance, picture_moments
from limner.evaluate.prompts import DrawFn, Outcomes, Prompt, draw_prompts, judge_prompts, prompt_sets
from limner.evaluate.protocol import Protocol, weights_hash
from limner.evaluate.report import pictures_hash, progress, report
from limner.nn.pixels import to_tensor
from limner.types import Image, derive_seed

SEEN = ("single", "pair")  # the sets whose drawings are compared with real scenes


@torch.no_grad()
def evaluate_generator(
    draw: DrawFn,
    recogniser: Recogniser,
    judge: FeatureNet,
    *,
    model: str,
    weights: str,
    size: int = 64,
    count: int | None = None,
    seed: int = 0,
    feature_fn: FeatureFn | None = None,
    feature_name: str = "limner features",
) -> dict[str, Any]:
    """Scores ``prompt/*`` (see `limner.evaluate.prompts.score_prompts`), and ``frechet/emoji`` and ``frechet/scenes``:
    the distance between the drawings and real pictures of the very same prompts (of seen compositions).

    ``draw(prompts, seed)`` gives one picture per prompt in [-1, 1]. ``count`` prompts per set (200; emoji 300);
    guidance, steps and temperature belong to ``draw``. ``feature_fn`` with its ``feature_name`` replaces ``judge``.
    """
    sets = prompt_sets(size=size) if count is None else prompt_sets(count, size, count)
    drawings: dict[str, Image] = {}
    outcomes: Outcomes = {}
    with progress("drawing prompts", sum(map(len, sets.values()))) as advance:
        for name, prompts in sets.items():
            drawings[name] = draw_prompts(draw, prompts, derive_seed(seed, name), advance=advance)
            outcomes |= judge_prompts(drawings[name], prompts, recogniser, name)
    scores = {name: sum(right) / len(right) for name, right in outcomes.items()}
    features = judge.pooled if feature_fn is None else feature_fn
    for name, members in (("emoji", ("emoji",)), ("scenes", SEEN)):
        drawn = torch.cat([drawings[member] for member in members])
        real = _pictures([prompt for member in members for prompt in sets[member]])
        distance = frechet_distance(picture_moments(drawn.split(64), features), picture_moments(real, features))
        scores[f"frechet/{name}"] = distance
    everything = [prompt for prompts in sets.values() for prompt in prompts]
    networks: list[object] = [recogniser, judge if feature_fn is None else feature_fn]
    protocol = Protocol(
        reference=", ".join(f"{len(prompts)} {name}" for name, prompts in sets.items()) + " prompts",
        count=len(everything),
        size=size,
        resize="rendered at this size",
        judge="limner recogniser, " + (feature_name if feature_fn is not None else "limner features"),
        judge_hash=" ".join(weights_hash(net) for net in networks if isinstance(net, torch.nn.Module)),
        reference_hash=pictures_hash((p.picture for p in everything), (p.text for p in everything)),
        seed=seed,
    )
    return report(model, weights, protocol, scores)


def _pictures(prompts: list[Prompt]) -> tuple[Image, ...]:
    return to_tensor([prompt.picture for prompt in prompts]).split(64)

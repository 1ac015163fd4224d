"""What it costs to read a picture and a question, and the controls of what reads less of it.

Operations are those of matrix products and of attention, choosing included, counted while rows are read; positions are
those that the cache then holds, over all layers. A control drops or keeps as many, drawn at random.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from limner.connectors.connector import Query
from limner.connectors.pooling import pooled
from limner.data.conversations import Turn
from limner.evaluate.statistics import gain_over_seeds
from limner.experiments.claims import Comparison, Measured
from limner.experiments.experiment import Experiment
from limner.experiments.seeing import Change, Changes, about_scenes, shipped
from limner.models.vision_language import VisionLanguageModel
from limner.nn.cache import Rewindable
from limner.nn.pixels import to_tensor
from limner.types import Patches, Rng, derive_seed
from limner.unified.conversation import pack
from limner.unified.dropping import Dropping, Layer, Score

READ = 8  # questions of which the costs are counted


class AtRandom:
    """A `limner.connectors.connector.Reduce`: patches drawn for each image, so many, in raster order."""

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.seed, self.passes = count, seed, 0

    def __call__(self, patches: Patches, query: Query | None) -> Patches:
        self.passes += 1
        rng = Rng(derive_seed(self.seed, "patches", self.passes))
        chosen = rng.permutations(*patches.positions.shape[:2])[:, : self.count]
        return patches.select(chosen.sort(1).values.to(patches.vectors.device))


@dataclass(frozen=True)
class MeanCells:
    """A `limner.connectors.connector.Reduce`: the means of square cells, ``side`` x ``side`` of them; a mean lies where
    the first patch of its cell lay."""

    side: int

    def __call__(self, patches: Patches, query: Query | None) -> Patches:
        rows, _ = patches.grid
        vectors, step = pooled(patches.vectors, self.side**2), rows // self.side
        positions = step * Patches.on_grid(vectors, self.side, self.side).positions
        return Patches(vectors, positions, patches.pooled)


def at_random(seed: int) -> Score:
    """A token is worth a draw."""
    rngs: dict[int, Rng] = {}

    def drawn(layer: Layer, before: Layer) -> Float[Tensor, "b n"]:
        rng = rngs.setdefault(layer.number, Rng(derive_seed(seed, "tokens", layer.number)))
        return rng.uniform(*layer.seen.shape).to(layer.x.device)

    return drawn


def dropping_at_random(change: Change) -> Change:
    """A change that drops tokens, but those of the same layers at random."""

    def changed(model: VisionLanguageModel, seed: int) -> VisionLanguageModel:
        made = change(model, seed)
        rule, reduce = made.reader, made.reduce
        assert isinstance(rule, Dropping)
        return model.changed(reduce=reduce, reader=Dropping(rule.share, at_random(seed), rule.recount))

    return changed


@torch.no_grad()
def cost(change: Change, seed: int) -> dict[str, float]:
    """Operations of reading a picture and its question, the positions that the cache then holds over all layers, and
    those of them that are the picture's, in a layer; means over `READ` questions, read one by one."""
    model, plain = change(shipped(), seed), shipped()
    layers: Any = model.language
    depth, total = len(layers.blocks), {"operations": 0.0, "positions": 0.0, "seen": 0.0}
    images, turns = about_scenes("cost", model.size, seed, READ)
    for image, turn in zip(images[:READ], turns[:READ], strict=True):
        vectors = model.vectors(to_tensor([image]))
        packed = pack([[Turn(turn.question)]], model.vocabulary, vectors.shape[1])
        language, x = model.reader(plain.language, packed), model.embed(packed, vectors)
        cache: Rewindable = language.cache(packed.ids.shape[1])
        with FlopCounterMode(display=False) as counter:
            language(x, packed.positions, packed.visible(), cache)
        held, text = sum(cache.length(layer) for layer in range(depth)), int((~packed.of("seen")).sum())
        found = {"operations": counter.get_total_flops(), "positions": held, "seen": held / depth - text}
        total = {part: total[part] + found[part] / READ for part in total}
    return total


def cheaper(arms: Changes, arm: str, whole: str, bounds: dict[str, float], margin: float) -> Comparison:
    """``arm`` costs at most these shares of ``whole``, in every seed, and answers no fewer right but for ``margin``."""

    def measure(experiment: Experiment) -> Measured:
        costs = {name: [cost(arms.arms[name], seed) for seed in experiment.seeds] for name in (arm, whole)}
        shares = {
            part: max(few[part] / full[part] for few, full in zip(costs[arm], costs[whole], strict=True))
            for part in bounds
        }
        of = arms.shares(experiment)
        gain = gain_over_seeds(of[arm], of[whole])
        held = all(shares[part] <= bound for part, bound in bounds.items()) and gain["interval"][0] >= -margin
        return held, {"per row": costs, "largest share": shares, f"{arm} - {whole}": gain}

    listed = " and ".join(f"{part} at most {bound:.0%}" for part, bound in bounds.items())
    return Comparison(
        (),
        f"{listed} of {whole}'s, answers no worse by {margin:g}",
        "a share above that in one seed, or a gap in answers whose interval reaches beyond that",
        measure,
        whole,
        arms.competence,
        (arm, whole),
    )

"""One training of one connector between frozen parts, and all that is measured of it.

A trial is known by what it depends on, and its result is a file of that name: what is there is not done again. Arms of
one seed start from the same draws and see the same scenes in the same order.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
from jaxtyping import Int
from torch import Tensor

from limner.connectors.connector import Connector
from limner.languages.language import LanguageModel
from limner.models.vision_language import VisionLanguageModel
from limner.train.settings import Settings
from limner.train.task import Loss, Task
from limner.types import Rng, derive_seed
from limner.unified.reconstruction import Reconstruction
from studies.language_basis.arms import ARMS, RANKS, Given
from studies.language_basis.givebacks import giveback
from studies.language_basis.learning import descend, shuffled
from studies.language_basis.measures import SIGMAS, Measured
from studies.language_basis.pretrained import TRAINING, WIDE, Pretrained, folded_latents
from studies.language_basis.world import SLOTS, Pool

BATCH = 16
STEPS = 160
BINS = 20  # of a loss curve
SETTLING = 64  # scenes from which gains are started
ARMS_UNDER_NOISE = ("mlp", "mlp-normed", "soft-words", "soft-matched", "soft-learned", "few-words", "few-matched")
ARMS_SWAPPED = ("mlp", "free-words", "soft-words", "few-words", "soft-matched", "free-matched")
CYCLE = 5  # seeds whose language models are each other's second ones


@dataclass(frozen=True)
class Trial:
    """What a training depends on.

    Args:
        arm: name of the connector.
        seed: of its weights, the order of the data, and the language model.
        rate: peak learning rate.
        scenes: that it learns from, the first of the seed's order.
        wide: between the encoder and the wider language model.
        ross: what the language model's states at the picture are taught by besides (`givebacks`).
        longer: times the steps.
    """

    arm: str
    seed: int
    rate: float
    scenes: int
    wide: bool = False
    ross: str = "none"
    longer: int = 1

    @property
    def name(self) -> str:
        """Of its file."""
        beside = ("-wide" if self.wide else "") + ("" if self.ross == "none" else f"-{self.ross}")
        beside += f"-x{self.longer}" if self.longer > 1 else ""
        return f"{self.arm}-{self.scenes}-{self.rate:g}{beside}-{self.seed}"


def partner(seed: int) -> int:
    """The seed whose language model is a seed's second one."""
    return seed - seed % CYCLE + (seed + 1) % CYCLE


class Connecting:
    """What teaches a connector: answers of a frozen language model."""

    def __init__(
        self,
        model: VisionLanguageModel,
        pool: Pool,
        chosen: Int[Tensor, "n"],
        seed: int,
        back: Reconstruction | None = None,
    ) -> None:
        self.model = model
        self.pool, self.chosen, self.seed, self.back = pool, chosen, seed, back
        self.losses: list[float] = []

    def batch(self, start: int, size: int) -> dict[str, Tensor]:
        """Which scenes."""
        return {"index": self.chosen[shuffled(start, size, len(self.chosen), self.seed)]}

    def task(self) -> Task[VisionLanguageModel, dict[str, Tensor]]:
        """What the loop trains."""
        return Task(self.model, self.batch, self.loss, self.back)

    def loss(self, model: VisionLanguageModel, batch: dict[str, Tensor], rng: Rng) -> Loss:
        """Cross-entropy of answers."""
        index = batch["index"]
        packed = self.pool.rows.take(index).packed
        hidden = model.hidden(packed, model.connector(self.pool.patches(index), model.language.words))
        loss = model.answer_loss(packed, hidden)
        self.losses.append(float(loss.detach()))
        if self.back is not None:
            loss = loss + self.back.loss(hidden[:, :SLOTS], self.pool.latents[index], rng)
        return loss, {}


@dataclass(frozen=True)
class Bench:
    """What trials share: the frozen parts, and scenes by pool."""

    pretrained: Pretrained
    pools: dict[str, Pool]
    ranking: Int[Tensor, "v"]
    languages: dict[int, LanguageModel]

    def language(self, seed: int) -> LanguageModel:
        """Made when it is first asked for."""
        if seed not in self.languages:
            self.languages[seed] = self.pretrained.language(seed)
        return self.languages[seed]


def bench(pretrained: Pretrained) -> Bench:
    """Make whatever is not there yet."""
    pools = {name: pretrained.pool(name) for name in ("train", "check", "test")}
    ids = pools["train"].rows.packed.ids.long().flatten()
    counts = torch.bincount(ids, minlength=len(pretrained.language(0).words))
    counts[0] = 0  # padding
    return Bench(pretrained, pools, counts.argsort(descending=True, stable=True), {})


def steps_of(scale: float, longer: int = 1) -> int:
    """Training steps at a scale."""
    return max(round(STEPS * longer * scale), 2)


def run(trial: Trial, on: Bench) -> dict[str, Any]:
    """Train and measure: the content of a trial's file."""
    task = prepared(trial, on)
    began, worked = time.monotonic(), time.process_time()
    descend(task.task(), settings(trial, steps_of(on.pretrained.scale, trial.longer)))
    spent = {"wall": round(time.monotonic() - began, 2), "cpu": round(time.process_time() - worked, 2)}
    model = task.model.eval()
    assert isinstance(model, VisionLanguageModel)
    measured = Measured(model, on.pools["check"], on.pools["test"], trial.seed)
    found: dict[str, Any] = {"trial": asdict(trial), "seconds": spent, "curve": curve(task.losses), **measured.scores()}
    if trial.scenes < TRAINING or trial.ross != "none" or trial.longer > 1:
        return found
    found["others"] = measured.others()
    if trial.wide:
        return found
    if trial.arm in ARMS_UNDER_NOISE:
        found["noise"] = {f"{sigma:g}": measured.noisy(sigma) for sigma in SIGMAS}
    if trial.arm == "mlp":
        found["rank"] = {str(rank): measured.flat(rank) for rank in RANKS}
    if trial.arm in ARMS_SWAPPED:
        for name, seed in (("second", partner(trial.seed)), ("wide", WIDE)):
            found[f"swap-{name}"] = measured.swapped(on.language(seed))
    return found


def prepared(trial: Trial, on: Bench) -> Connecting:
    """The task of a trial: its connector, settled, between frozen parts, and the scenes that it learns from."""
    train = on.pools["train"]
    language = on.language(WIDE if trial.wide else trial.seed)
    order = torch.randperm(len(train.rows), generator=torch.Generator().manual_seed(derive_seed(trial.seed, "scenes")))
    chosen = order[: on.pretrained.scenes_of(trial.scenes)]
    steps = steps_of(on.pretrained.scale, trial.longer)
    given = Given(language.words.detach(), train.features[chosen[:SETTLING]], on.ranking, steps, trial.seed)
    connector = cast(Connector, ARMS[trial.arm].build(given))
    model = VisionLanguageModel(on.pretrained.classifier.encoder, connector, language, on.pretrained.words)
    back = giveback(trial.ross, language.width, folded_latents(), derive_seed(trial.seed, "giveback"))
    return Connecting(model, train, chosen, trial.seed, back)


def settings(trial: Trial, steps: int) -> Settings:
    """AdamW, half a cosine, no decay of weights: connectors are small."""
    return Settings(
        images=steps * BATCH,
        batch=BATCH,
        lr=trial.rate,
        warmup=min(20, steps // 4) * BATCH,
        weight_decay=0.0,
        beta2=0.99,
        ema=0,
        precision="fp32",
        seed=trial.seed,
    )


def curve(losses: list[float]) -> list[float]:
    """Means of equal parts."""
    size = max(math.ceil(len(losses) / BINS), 1)
    return [round(sum(part) / len(part), 4) for part in (losses[i : i + size] for i in range(0, len(losses), size))]

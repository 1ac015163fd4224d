"""The second half of H5: one language model that answers about pictures and draws them, trained for both at once.

    L = L_answers + w L_drawing

    see         answers alone                                            what drawing beside it is compared with
    draw        drawing alone                                            what answering beside it is compared with
    shared      both; drawn tokens enter through the words:              v = mu + A(x) S V'
    separate    both; drawn tokens enter by a linear layer of their own: v = A x + b
    paced       answers alone, at the learning rate of both
    shuffled    as shared, but pictures are drawn of other captions: the same work, and nothing to learn about words

Pictures are seen through the softmax over words (`arms`). Encoder and table of words stay as they are, so that words
mean to seen and drawn pictures what they meant in text; the blocks of the language model learn. Every arm takes the
same number of steps of each loss that it has, on the same scenes, captions and noise in the same order.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from limner.generators.generator import Generator
from limner.generators.heads.diffusion import DiffusionHead
from limner.generators.orders import RandomMasked
from limner.languages.language import LanguageModel
from limner.lessons.joint import JointPart, drawing, joint_task
from limner.models.limner import Limner
from limner.models.vision_language import VisionLanguageModel
from limner.train.settings import Settings
from limner.train.task import Task
from limner.types import Layout, Rng, derive_seed
from limner.unified.drawing import LanguageBackbone, WordCondition, WordSpan
from studies.language_basis import drawn
from studies.language_basis.drawn import Album, album, telling
from studies.language_basis.learning import descend, shuffled
from studies.language_basis.measures import Measured
from studies.language_basis.pretrained import WIDTH, folded_latents
from studies.language_basis.trial import Bench, Trial, curve
from studies.language_basis.trial import prepared as connecting
from studies.language_basis.world import SLOTS, Pool

SEEN = "soft-words"  # through which pictures are seen
STEPS = 400
SCENES, CAPTIONS = 8, 32  # of a step
WEIGHT = 30.0  # of drawing: after 60 steps of both its gradient in the blocks was 33 times as short as that of answers
RANK = 32  # principal directions of the words through which drawn tokens enter
HEAD_WIDTH, HEAD_DEPTH = 128, 2
MUON = 0.5  # times the rate: that of the blocks' matrices
JOINT = ("see", "draw", "shared", "separate", "paced", "shuffled")
BOTH = ("shared", "separate", "shuffled")


@dataclass(frozen=True)
class Joint:
    """A training: ``arm`` is one of `JOINT`, ``rate`` its peak learning rate, ``scenes`` those that are asked about."""

    arm: str
    seed: int
    rate: float
    scenes: int

    @property
    def name(self) -> str:
        """Of its file."""
        return f"joint-{self.arm}-{self.scenes}-{self.rate:g}-{self.seed}"

    @property
    def sees(self) -> bool:
        """Does it learn to answer?"""
        return self.arm != "draw"

    @property
    def draws(self) -> bool:
        """Does it learn to draw?"""
        return self.arm not in ("see", "paced")


class Training(NamedTuple):
    """What the loop trains, and the losses that it met, by kind of token."""

    task: Task[Limner, list[Any]]
    history: dict[str, list[float]]


def training(joint: Joint, model: Limner, pool: Pool, chosen: Int[Tensor, "n"], pictures: Album) -> Training:
    """The losses that an arm has: of ``text``, of answers, and of ``drawn`` tokens."""
    history: dict[str, list[float]] = {"text": [], "drawn": []}

    def scenes(start: int, size: int) -> dict[str, Tensor]:
        return {"index": chosen[shuffled(start, size, len(chosen), joint.seed)]}

    def answers(model: Limner, batch: dict[str, Tensor], rng: Rng) -> dict[str, Tensor]:
        vectors = model.vision_language.connect(pool.patches(batch["index"]))
        packed = pool.rows.take(batch["index"]).packed.showing("seen", vectors.flatten(0, 1))
        return model.unified().loss(packed, rng)

    def captions(start: int, size: int) -> dict[str, Tensor]:
        index = shuffled(start, size, len(pictures.captions), derive_seed(joint.seed, "drawn"))
        shown = index.roll(1) if joint.arm == "shuffled" else index
        return {"text": pictures.captions[index], "tokens": pictures.latents[shown]}

    def recorded(part: JointPart[Limner]) -> JointPart[Limner]:
        def losses(model: Limner, batch: Any, rng: Rng) -> Mapping[str, Tensor]:
            found = part.losses(model, batch, rng)
            for name, loss in found.items():
                history[name].append(float(loss.detach()))
            return found

        return replace(part, losses=losses)

    parts = [JointPart(scenes, answers)] if joint.sees else []
    if joint.draws:
        parts.append(drawing(captions, model.generator.drop, joint.seed, times=CAPTIONS // SCENES))
    return Training(joint_task(model, list(map(recorded, parts)), {"drawn": WEIGHT}), history)


def generator(language: LanguageModel, channels: int, count: int, *, shared: bool) -> Generator:
    """Masked autoregression within the language model, over ``count`` subwords of a caption; what does not differ
    between arms is drawn first."""
    backbone, prompt = LanguageBackbone(language, SLOTS), WordCondition(language, count)
    head = DiffusionHead(
        channels, WIDTH, width=HEAD_WIDTH, depth=HEAD_DEPTH, steps=50, draws=1, velocity=True, emphasis=1000.0
    )
    embed = WordSpan(channels, language.words, RANK) if shared else None
    return Generator(
        layout=Layout(((SLOTS,),)), order=RandomMasked(), backbone=backbone, head=head, condition=prompt, embed=embed
    )


def prepared(joint: Joint, on: Bench) -> Training:
    """A training of the language model of the seed, with a connector and a head that have learned nothing yet."""
    see = connecting(Trial(SEEN, joint.seed, joint.rate, joint.scenes), on)
    language = on.pretrained.language(joint.seed).requires_grad_(True)
    language.table.requires_grad_(False)
    sees = VisionLanguageModel(see.model.encoder, see.model.connector, language, see.model.vocabulary)
    latents, words = folded_latents(), telling(on.pretrained)
    torch.manual_seed(derive_seed(joint.seed, "drawing"))
    made = generator(language, latents.channels, words.length, shared=joint.arm != "separate")
    model = Limner(sees, made, words, latents.tokenizer, patch=latents.patch)
    return training(joint, model, see.pool, see.chosen, album(on.pretrained))


def settings(joint: Joint, steps: int) -> Settings:
    """Muon for the matrices of blocks, AdamW for the rest; half a cosine, no decay of weights."""
    return Settings(
        images=steps * SCENES,
        batch=SCENES,
        lr=joint.rate,
        muon=MUON * joint.rate,
        warmup=min(100, steps // 4) * SCENES,
        weight_decay=0.0,
        beta2=0.95,
        ema=0,
        precision="fp32",
        seed=joint.seed,
    )


def run(joint: Joint, on: Bench) -> dict[str, Any]:
    """Train and measure: the content of a training's file."""
    task, history = prepared(joint, on)
    cost = {"parameters": learned(joint, task), "operations": operations(joint, task)}
    history["text"].clear()
    history["drawn"].clear()
    began, worked = time.monotonic(), time.process_time()
    descend(task, settings(joint, max(round(STEPS * on.pretrained.scale), 2)))
    spent = {"wall": round(time.monotonic() - began, 2), "cpu": round(time.process_time() - worked, 2)}
    model = task.model.eval()
    found: dict[str, Any] = {"trial": asdict(joint), "seconds": spent, **cost}
    if joint.sees:
        measured = Measured(model.vision_language, on.pools["check"], on.pools["test"], joint.seed)
        found |= {"curve": curve(history["text"]), **measured.scores()}
    if joint.draws:
        prompts = {name: drawn.prompts(name, on.pretrained.scenes_of(count)) for name, count in drawn.ASKED.items()}
        drawings = {name: drawn.draw(model, some, joint.seed) for name, some in prompts.items()}
        right = {name: drawn.correct(drawings[name], some) for name, some in prompts.items()}
        frechet = drawn.frechet(drawings["test"], prompts["test"])
        found["drawn"] = {**right, "frechet": frechet, "curve": curve(history["drawn"])}
    return found


def learned(joint: Joint, task: Task[Limner, list[Any]]) -> int:
    """Numbers that the losses of an arm train: those that a step moves."""
    return sum(gradient.numel() for gradient in _step(joint, task))


def operations(joint: Joint, task: Task[Limner, list[Any]]) -> int:
    """Multiplications and additions of a step."""
    with FlopCounterMode(display=False) as counter:
        _step(joint, task)
    return counter.get_total_flops()


def _step(joint: Joint, task: Task[Limner, list[Any]]) -> list[Tensor]:
    """The gradients of the first batch."""
    loss, _ = task.loss(task.model, task.batch(0, SCENES), Rng(joint.seed))
    trained = [parameter for parameter in task.model.parameters() if parameter.requires_grad]
    found = torch.autograd.grad(loss, trained, allow_unused=True)
    return [gradient for gradient in found if gradient is not None]

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
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from limner.generators.generator import Generator
from limner.generators.heads.diffusion import DiffusionHead
from limner.generators.orders import RandomMasked
from limner.languages.language import LanguageModel
from limner.models.text_to_image import TextToImage
from limner.models.vision_language import VisionLanguageModel
from limner.train.settings import Settings
from limner.types import Rng, derive_seed
from limner.unified.drawing import LanguageBackbone, Prompt, WordSpan
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
        """Is it taught to answer?"""
        return self.arm != "draw"

    @property
    def draws(self) -> bool:
        """Is it taught to draw?"""
        return self.arm not in ("see", "paced")


class Unified(nn.Module):
    """What answers and what draws, around one language model."""

    def __init__(self, seer: VisionLanguageModel, drawer: TextToImage) -> None:
        super().__init__()
        self.seer, self.drawer = seer, drawer


class Teaching:
    """What teaches a unified model: answers, drawings, or both."""

    def __init__(self, model: Unified, joint: Joint, pool: Pool, chosen: Int[Tensor, "n"], pictures: Album) -> None:
        self.model = model
        self.joint, self.pool, self.chosen, self.pictures = joint, pool, chosen, pictures
        self.answers: list[float] = []
        self.drawings: list[float] = []

    def batch(self, start: int, size: int) -> dict[str, Tensor]:
        """Which scenes, and which captions with which pictures."""
        seed, often = self.joint.seed, CAPTIONS // SCENES
        captions = shuffled(start * often, size * often, len(self.pictures.captions), derive_seed(seed, "drawn"))
        return {
            "index": self.chosen[shuffled(start, size, len(self.chosen), seed)],
            "captions": captions,
            "pictures": captions.roll(1) if self.joint.arm == "shuffled" else captions,
        }

    def task(self) -> Task[Unified, dict[str, Tensor]]:
        """What the loop trains."""
        return Task(self.model, self.batch, self.loss)

    def loss(self, model: Unified, batch: dict[str, Tensor], rng: Rng) -> Loss:
        """The sum of the losses that the arm has."""
        losses = []
        if self.joint.sees:
            packed = self.pool.rows.take(batch["index"]).packed
            hidden = model.seer.hidden(packed, model.seer.connect(self.pool.patches(batch["index"])))
            losses.append(model.seer.answer_loss(packed, hidden))
            self.answers.append(float(losses[-1].detach()))
        if self.joint.draws:
            latents, captions = self.pictures.latents[batch["pictures"]], self.pictures.captions[batch["captions"]]
            losses.append(WEIGHT * model.drawer.generator.loss(latents, captions, rng))
            self.drawings.append(float(losses[-1].detach()) / WEIGHT)
        return torch.stack(losses).sum(), {}


def generator(language: LanguageModel, channels: int, count: int, *, shared: bool) -> Generator:
    """Masked autoregression within the language model, over ``count`` subwords of a caption; what does not differ
    between arms is drawn first."""
    backbone, prompt = LanguageBackbone(language, SLOTS), Prompt(language, count)
    head = DiffusionHead(
        channels, WIDTH, width=HEAD_WIDTH, depth=HEAD_DEPTH, steps=50, draws=1, velocity=True, emphasis=1000.0
    )
    embed = WordSpan(channels, language.words, RANK) if shared else None
    return Generator(count=SLOTS, order=RandomMasked(), backbone=backbone, head=head, condition=prompt, embed=embed)


def prepared(joint: Joint, on: Bench) -> Teaching:
    """The task of a training: the language model of the seed, with a connector and a head that nobody has taught."""
    see = connecting(Trial(SEEN, joint.seed, joint.rate, joint.scenes), on)
    language = on.pretrained.language(joint.seed).requires_grad_(True)
    language.table.requires_grad_(False)
    seer = VisionLanguageModel(see.model.encoder, see.model.connector, language, see.model.vocabulary)
    latents, words = folded_latents(), telling(on.pretrained)
    torch.manual_seed(derive_seed(joint.seed, "drawing"))
    made = generator(language, latents.channels, words.length, shared=joint.arm != "separate")
    drawer = TextToImage(made, words, latents.tokenizer, patch=latents.patch)
    return Teaching(Unified(seer, drawer), joint, see.pool, see.chosen, album(on.pretrained))


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
    task = prepared(joint, on)
    cost = {"parameters": taught(task), "operations": operations(task)}
    began, worked = time.monotonic(), time.process_time()
    descend(task.task(), settings(joint, max(round(STEPS * on.pretrained.scale), 2)))
    spent = {"wall": round(time.monotonic() - began, 2), "cpu": round(time.process_time() - worked, 2)}
    model = task.model.eval()
    found: dict[str, Any] = {"trial": asdict(joint), "seconds": spent, **cost}
    if joint.sees:
        measured = Measured(model.seer, on.pools["check"], on.pools["test"], joint.seed)
        found |= {"curve": curve(task.answers), **measured.scores()}
    if joint.draws:
        asked = {name: drawn.prompts(name, on.pretrained.scenes_of(count)) for name, count in drawn.ASKED.items()}
        drawings = {name: drawn.draw(model.drawer, some, joint.seed) for name, some in asked.items()}
        right = {name: drawn.correct(drawings[name], some) for name, some in asked.items()}
        frechet = drawn.frechet(drawings["test"], asked["test"])
        found["drawn"] = {**right, "frechet": frechet, "curve": curve(task.drawings)}
    return found


def taught(task: Teaching) -> int:
    """Numbers that the losses of an arm teach: those that a step moves."""
    gradients = _step(task)
    return sum(gradient.numel() for gradient in gradients)


def operations(task: Teaching) -> int:
    """Multiplications and additions of a step."""
    with FlopCounterMode(display=False) as counter:
        _step(task)
    return counter.get_total_flops()


def _step(task: Teaching) -> list[Tensor]:
    """The gradients of the first batch; leaves nothing behind."""
    loss, _ = task.loss(task.model, task.batch(0, SCENES), Rng(task.joint.seed))
    trained = [parameter for parameter in task.model.parameters() if parameter.requires_grad]
    found = torch.autograd.grad(loss, trained, allow_unused=True)
    task.answers.clear()
    task.drawings.clear()
    return [gradient for gradient in found if gradient is not None]

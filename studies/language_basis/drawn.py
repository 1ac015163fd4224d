"""What is drawn in the second half of H5, and how drawings are judged.

    album     one large thing on white: what is said of it ("large red heart top left"), and vae-64's latents
    correct   shares of drawings in which the recogniser reads the colour, shape and place that were asked for
    frechet   distance to the true pictures of the same captions, in the shipped features

Twelve shapes, ten colours, nine places, one size: small things are not learnt to be drawn in half a minute, and where
nothing is drawn nothing can be compared.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from limner.data.scenes import COLOURS, HELD_OUT_PAIRS, SHAPES, Scene, paint
from limner.data.scenes.sampling import pick, put
from limner.data.scenes.scene import random_for
from limner.evaluate.prompts import Prompt, judge_prompts
from limner.experiments import scores
from limner.languages.subwords import Subwords
from limner.models.text_to_image import TextToImage
from limner.nn.pixels import to_tensor
from limner.processes.solvers import dpm_solver_2m
from limner.store.folder import load
from limner.types import Image, Rng, derive_seed
from studies.language_basis.pretrained import Pretrained, folded_latents
from studies.language_basis.world import SIZE, described

TAUGHT = 6_000  # scenes that drawing is learnt from
ASKED = {"check": 120, "test": 240}  # captions that rates are chosen by, and that are drawn in the end
PASSES, HEAD_STEPS, GUIDANCE = 8, 10, 2.0  # of a drawing
LONGEST = 6  # subwords of a caption
BATCH = 60  # drawings at a time
PARTS = {"colour": "prompt/colour", "shape": "prompt/shape", "place": "prompt/position"}  # as the judge calls them


@dataclass(frozen=True)
class Album:
    """Captions as subwords, padded, and the latents of their pictures, a row per slot."""

    captions: Int[Tensor, "n k"]
    latents: Float[Tensor, "n slots c"]


def single(name: str, index: int) -> Scene:
    """A scene of one large thing on white."""
    rng = random_for("drawn", name, index)
    pairs = tuple((colour, shape) for colour in COLOURS for shape in SHAPES if (colour, shape) not in HELD_OUT_PAIRS)
    return paint((put(rng, (*pick(rng, pairs), -1), "large", int(rng.random() * 9)),), SIZE)


def album(pretrained: Pretrained) -> Album:
    """What drawing is learnt from, made once for a study."""
    kept = pretrained.kept("drawn", lambda: _taken_apart(pretrained))
    return Album(kept["captions"].long(), kept["latents"].float())


def _taken_apart(pretrained: Pretrained) -> dict[str, Tensor]:
    count = pretrained.scenes_of(TAUGHT)
    pretrained.say(f"{count} scenes to draw")
    latents, captions, folded = folded_latents(), [], []
    for start in range(0, count, 100):
        some = [single("train", index) for index in range(start, min(start + 100, count))]
        image = to_tensor([scene.image for scene in some])
        folded.append(latents.values(image, Rng(derive_seed(0, "drawn", start))).half())
        captions += [described(scene)[0].text for scene in some]
    return {"captions": telling(pretrained).encode(captions).to(torch.int16), "latents": torch.cat(folded)}


def telling(pretrained: Pretrained) -> Subwords:
    """The vocabulary of the study, for captions of one thing."""
    words = Subwords(LONGEST)
    words.vocabulary = pretrained.words.vocabulary
    return words


def prompts(name: str, count: int) -> list[Prompt]:
    """Held-out captions with their true pictures."""
    scenes = [single(name, index) for index in range(count)]
    return [Prompt(described(scene)[0].text, scene.image, scene.things, placed=True) for scene in scenes]


def draw(drawer: TextToImage, asked: list[Prompt], seed: int) -> Image:
    """A drawing of every caption; arms of one seed draw with the same noise."""
    parts = []
    for at in range(0, len(asked), BATCH):
        texts = [prompt.text for prompt in asked[at : at + BATCH]]
        seeds = [derive_seed(seed, "drawn", at + place) for place in range(len(texts))]
        parts.append(
            drawer.images(
                texts, seeds, steps=PASSES, guidance=GUIDANCE, head_steps=HEAD_STEPS, solver=dpm_solver_2m
            ).clamp(-1.0, 1.0)
        )
    return torch.cat(parts)


def correct(drawn: Image, asked: list[Prompt]) -> dict[str, float]:
    """Shares of what was asked that is read in the drawings: by part, and their mean, "all"."""
    right = judge_prompts(drawn, asked, load("recogniser"), "single")
    shares = {part: sum(right[name]) / len(right[name]) for part, name in PARTS.items()}
    return {"all": round(sum(shares.values()) / len(shares), 4), **{part: round(shares[part], 4) for part in PARTS}}


def frechet(drawn: Image, asked: list[Prompt]) -> float:
    """Distance of drawings to the true pictures of what was asked."""
    return round(scores.frechet(drawn, to_tensor([prompt.picture for prompt in asked])), 4)

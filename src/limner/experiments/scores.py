"""What an arm is worth: the scores of its family on the held-out pictures of the small world, kept beside its training.

tokenizers       psnr (dB); frechet, of rebuilt pictures; prior, of decoded noise; usage, of the codebook; of nested
                 tokens psnr/k, colour/k and shape/k: of images of the first k, and what is read in them
generators       frechet; colour, shape, place: the share that the recogniser reads as the caption says; passes;
                 parameters; edges: how many pixels of edges are those of the true image (F1)
encoders         probe/*, zero_shot/*, retrieval/*, and probe, the mean of all linear probes
understanding    answers and blind, shares answered right with and without the picture; gain, their difference;
                 named, how often the likeliest words of a patch name what it shows
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from limner.compare.sweep import forward_passes, name_of
from limner.connectors.connector import WordMixture
from limner.connectors.lens import nearest_words
from limner.data.scenes import Scene
from limner.data.scenes.world import WORLD
from limner.evaluate.answering import answering_scores
from limner.evaluate.codebook import code_shares, usage
from limner.evaluate.frechet import frechet_distance, moments
from limner.evaluate.linear_probe import probe_scores
from limner.evaluate.prompts import Prompt, judge_prompts
from limner.evaluate.records import numbers, read_record
from limner.evaluate.retrieval import retrieval_scores
from limner.evaluate.zero_shot import zero_shot_scores
from limner.experiments.experiment import Experiment
from limner.experiments.world import (
    HELD_OUT,
    SIZE,
    Arm,
    folder_of,
    held_out,
    prompts,
    questions,
    scaled,
    trained,
)
from limner.generators.control import edges
from limner.lessons.conversations import answers_of
from limner.models.vision_language import VisionLanguageModel
from limner.nn.pixels import to_tensor
from limner.store.folder import load
from limner.tokenizers.quantizers.quantizer import Discrete
from limner.types import Image, Rng, Tokens, derive_seed

STEEP = 0.25  # of the steepest edge that there can be
TOP = 5  # words of a patch that are read
BATCH = 60  # captions drawn at a time
LOWER = ("frechet", "prior", "passes", "seconds", "parameters")  # are better; of all others higher ones


def scores(experiment: Experiment, arm: Arm, seed: int) -> dict[str, float]:
    """All scores of an arm under a seed, measured or read back."""
    folder = folder_of(experiment, arm, seed)
    path = folder / f"scores-{name_of(arm.options)}.json"
    if not path.is_file():
        model = trained(experiment, arm, seed)
        with torch.no_grad():
            found = FAMILY_SCORES[arm.family](experiment, arm, model, seed)
        path.write_text(json.dumps(found), encoding="utf-8")
    found = read_record(path, "no scores of an arm", "delete it, and they are measured again", partial(_of_arm, arm))
    experiment.say(f"{arm.label}, seed {seed}: " + ", ".join(f"{name} {found[name]:.3f}" for name in arm.bars))
    return found


def _of_arm(arm: Arm, content: Any) -> dict[str, float]:
    found = numbers(content, finite=False)
    if missing := [name for name in arm.bars if name not in found]:
        raise KeyError(missing[0])
    return found


def of_seeds(experiment: Experiment, arm: Arm, score: str) -> list[float]:
    """One of the scores, seed by seed."""
    return [scores(experiment, arm, seed)[score] for seed in experiment.seeds]


def rebuilding(experiment: Experiment, arm: Arm, model: Any, seed: int) -> dict[str, float]:
    """What a tokenizer makes of held-out pictures."""
    real = to_tensor([prompt.picture for prompt in prompts(experiment)])
    tokens = model.encode(real)
    rebuilt = model.decode(tokens)
    found = {"psnr": psnr(rebuilt, real), "frechet": frechet(rebuilt, real)}
    if model.layout.nested:
        found |= from_the_first(experiment, model, tokens, real)
    if isinstance(model.quantizer, Discrete):
        return found | {"usage": usage(code_shares(tokens, model.quantizer.entries))}
    noise = Rng(derive_seed(seed, "prior")).normal(*tokens.shape)
    return found | {"prior": frechet(model.decode(noise), real)}


def from_the_first(experiment: Experiment, model: Any, tokens: Tokens, real: Image) -> dict[str, float]:
    """Scores of the images that the first 1, 4, 16 ... of nested tokens decode to."""
    found: dict[str, float] = {}
    count = 1
    while count <= tokens.shape[1]:
        image = model.decode(tokens[:, :count])
        found |= {f"{part}/{count}": share for part, share in read_right(image, prompts(experiment)).items()}
        found[f"psnr/{count}"] = psnr(image, real)
        count *= 4
    return found


def psnr(image: Image, real: Image) -> float:
    """Mean over images in [-1, 1], in dB."""
    return float((10 * torch.log10(4 / (image - real).square().mean((1, 2, 3)))).mean())


def drawing(experiment: Experiment, arm: Arm, model: Any, seed: int) -> dict[str, float]:
    """What a generator draws of held-out captions."""
    wanted = prompts(experiment)
    seeds = [derive_seed(seed, "drawn", index) for index in range(len(wanted))]
    parts = []
    for at in range(0, len(wanted), BATCH):
        part = wanted[at : at + BATCH]
        texts = [prompt.text for prompt in part]
        parts.append(model.images(texts, seeds[at : at + BATCH], **arm.beside(part), **arm.options))
    drawn, real = torch.cat(parts), to_tensor([prompt.picture for prompt in wanted])
    return {
        "frechet": frechet(drawn, real),
        "edges": edge_agreement(drawn, real),
        **read_right(drawn, wanted),
        "passes": float(forward_passes(model, arm.options)),
        "parameters": float(sum(weight.numel() for weight in model.parameters())),
    }


def edge_agreement(images: Image, real: Image) -> float:
    """F1 of the pixels whose edges are steeper than `STEEP`, over all images together: ``2 both / (drawn + true)``."""
    drawn, true = edges(images) > STEEP, edges(real) > STEEP
    return float(2 * (drawn & true).sum() / (drawn.sum() + true.sum()))


def read_right(images: Image, wanted: Sequence[Prompt]) -> dict[str, float]:
    """The share of images in which the recogniser reads what their prompt says, by part."""
    right = judge_prompts(images, wanted, load("recogniser"), "single")
    parts = {"colour": "prompt/colour", "shape": "prompt/shape", "place": "prompt/position"}
    return {part: sum(right[name]) / len(right[name]) for part, name in parts.items()}


def reading(experiment: Experiment, arm: Arm, model: Any, seed: int) -> dict[str, float]:
    """What an encoder's features know, and whether pictures lie where their words do."""
    count = scaled(experiment, HELD_OUT)
    found = probe_scores(model.encoder, count)
    found["probe"] = sum(found.values()) / len(found)
    return found | zero_shot_scores(model, SIZE, count) | retrieval_scores(model, SIZE, count)


def answering(experiment: Experiment, arm: Arm, model: Any, seed: int) -> dict[str, float]:
    """Questions about held-out scenes, answered with and without the picture."""
    scenes = held_out(scaled(experiment, HELD_OUT))
    pairs = [(scene.image, turn) for scene in scenes for turn in questions(scene)]
    found = answering_scores(answers_of(model), [image for image, _ in pairs], [turn for _, turn in pairs])
    names = {"answers": "qa/overall", "blind": "blind/overall", "gain": "gain/overall"}
    return {name: found[key] for name, key in names.items()} | found | named(model, scenes)


def named(model: VisionLanguageModel, scenes: Sequence[Scene]) -> dict[str, float]:
    """How often the `TOP` words that weigh most in the patch at the centre of a thing hold its colour, or its shape; of
    a connector that mixes no words, the words nearest to its vector. Nothing where the language model reads other
    vectors than one per patch."""
    patches = model.encoder(to_tensor([scene.image for scene in scenes]))
    words, connector, (rows, columns) = model.language.words, model.connector, patches.grid
    if isinstance(connector, WordMixture):
        top, _ = connector.top_words(patches, words, TOP)
    else:
        top, _ = nearest_words(connector(patches, words), words, TOP)
    if top.shape[1] != rows * columns:
        return {}
    found = []
    for scene, ids in zip(scenes, top, strict=True):
        (thing,) = scene.things
        nearest = ids[int(thing.y / WORLD * rows) * columns + int(thing.x / WORLD * columns)].tolist()
        for word in (thing.colour, thing.shape):
            found.append(all(part in nearest for part in model.vocabulary.ids(word)))
    return {"named": sum(found) / len(found)}


FAMILY_SCORES: dict[str, Callable[[Experiment, Arm, Any, int], dict[str, float]]] = {
    "tokenizers": rebuilding,
    "generators": drawing,
    "encoders": reading,
    "understanding": answering,
}


def frechet(images: Image, real: Image) -> float:
    """Frechet distance of two sets of pictures in the shipped feature net."""
    net = load("features")
    first, second = (moments(torch.cat([net.pooled(part) for part in side.split(100)])) for side in (images, real))
    return frechet_distance(first, second)

"""The audit on planted questions, with small models whose knowledge is known because they were taught it here."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import torch

from limner.compare.trials import train_on
from limner.data.question_sets import FLAGS, Item, Trial
from limner.data.scenes import Scenes
from limner.data.scenes.planting import (
    LEAKED,
    TITLES,
    even_questions,
    facts,
    natural,
    plant,
    sampled,
    telling,
    write_pictures,
)
from limner.data.scenes.scene import random_for
from limner.encoders.recogniser import Recogniser
from limner.evaluate.asking import ask
from limner.evaluate.audit import Audit, audit, part
from limner.evaluate.statistics import over_seeds
from limner.experiments.audits.reader import Answerer, Course, Lesson, Reader, Reading, Subject, sightings
from limner.experiments.claims import Comparison, Measured
from limner.experiments.experiment import Experiment
from limner.store.folder import load
from limner.train.settings import Settings
from limner.types import derive_seed

BASE_LESSONS, SEEING_LESSONS = 40_000, 90_000
SCENES = 4_000  # that are asked about in training
SPOKEN = 4_000  # lessons that the vocabulary is made of
FACT_SHEETS = 10  # ways in which the options of every fact are drawn
NATURALS, PLANTS = 400, 60  # of the audited set: natural questions, and each planted kind
SHUFFLES = 16  # orders in which every question is asked
WIDTH = 64
LEAST = 0.9  # of precision and recall
NEAR_ZERO, FAR = 0.02, 0.2  # gain without and with seeing


@functools.lru_cache(maxsize=1)
def audits(experiment: Experiment) -> list[tuple[Audit, Audit]]:
    """The two audits of every seed."""
    recogniser = load("recogniser")
    return [audited(experiment, recogniser, seed) for seed in experiment.seeds]


def flags_are_found(experiment: Experiment) -> Measured:
    """Precision and recall of every flag, on every seed."""
    measured: dict[str, Any] = {
        flag: {
            "precision": over_seeds([own.found[flag][0] for own, _ in audits(experiment)]),
            "recall": over_seeds([own.found[flag][1] for own, _ in audits(experiment)]),
        }
        for flag in FLAGS
    }
    return all(min(scores["values"]) >= LEAST for flag in measured.values() for scores in flag.values()), measured


def gain_is_of_seeing(experiment: Experiment) -> Measured:
    """MG over the natural questions of a model trained with its own pictures and of one trained with others'."""
    own, shuffled = ([natural_gain(pair[which]) for pair in audits(experiment)] for which in (0, 1))
    leakage = over_seeds([pair[0].total.leakage.mean for pair in audits(experiment)])
    gains = {"own pictures": over_seeds(own), "shuffled pictures": over_seeds(shuffled)}
    return max(map(abs, shuffled)) <= NEAR_ZERO and min(own) >= FAR, {"gain": gains, "leakage": leakage}


def natural_gain(result: Audit) -> float:
    """MG over the questions that nothing was planted in."""
    return part([verdict for verdict in result.verdicts if not verdict.planted]).gain.mean


def audited(experiment: Experiment, recogniser: Recogniser, seed: int) -> tuple[Audit, Audit]:
    """The audit of a model trained with its pictures, and of one trained with shuffled ones, on one planted set."""
    planted = plant(
        Scenes(seed, split="heldout", objects=(1, 4)),
        natural_count=NATURALS,
        text=PLANTS,
        question=PLANTS,
        leaked=PLANTS,
        seed=seed,
    )
    items = write_pictures(planted, experiment.directory / "audits" / f"questions-{seed}")
    leaked = [one for one in planted if one.item.planted == LEAKED]
    seen = sightings(recogniser, [scene.image for _, scene in leaked])
    test = [Lesson(item, things) for (item, _), things in zip(leaked, seen, strict=True)]
    questions, known, reading = curriculum(recogniser, seed, avoid=[item for item, _ in planted])
    reader = Course((Subject(questions, 0.4, 1.0), Subject(known, 0.35, 1.0), Subject(reading, 0.25, 1.0)))
    base = trained_reader(experiment, "base", seed, reader, None)
    seer = (
        Subject(questions, 0.5, 0.25),
        Subject(known, 0.1, 0.5),
        Subject(reading, 0.1, 0.5),
        Subject(drawn(test), 0.3, 0.6),
    )
    base_answers = answers(Answerer(base, recogniser, seed), items, with_image=False)
    results = []
    for name, shuffled in (("own", False), ("shuffled", True)):
        model = trained_reader(experiment, name, seed, Course(seer, shuffled), base)
        seeing, blind = (
            answers(Answerer(model, recogniser, seed), items, with_image=with_image) for with_image in (True, False)
        )
        results.append(audit(items, seeing, blind, [base_answers]))
        experiment.say(f"{name} pictures, seed {seed}: gain {natural_gain(results[-1]):.3f}, {results[-1].found}")
    return results[0], results[1]


def answers(answer: Answerer, items: Sequence[Item], *, with_image: bool) -> tuple[Trial, ...]:
    """All answers of a fresh answerer."""
    return ask(items, answer, with_image=with_image, shuffles=SHUFFLES, instruct=False)


def curriculum(
    recogniser: Recogniser, seed: int, *, avoid: Sequence[Item]
) -> tuple[Callable[[Random], Lesson], Callable[[Random], Lesson], Callable[[Random], Lesson]]:
    """How lessons are drawn: questions about training scenes, under titles that the audit does not use and that change
    from lesson to lesson, so that only looking helps; facts; and reading."""
    scenes = Scenes(seed, split="train", objects=(1, 4))
    chosen = [scenes[index] for index in range(SCENES)]
    seen = sightings(recogniser, [scene.image for scene in chosen])
    used = {title for item in avoid for title in TITLES if f"'{title}'" in item.question}
    titles = [title for title in TITLES if title not in used]
    questions = [even_questions(scene) for scene in chosen]

    def ask_one(rng: Random) -> Lesson:
        index = rng.randrange(SCENES)
        question = sampled(questions[index], rng)[0]
        return Lesson(natural(chosen[index], question, rng.choice(titles), rng), seen[index])

    rng = random_for(seed, "curriculum")
    readings = [
        Lesson(item, things) for scene, things in zip(chosen, seen, strict=True) for item in telling(scene, rng)
    ]
    known = [Lesson(item, seen[rng.randrange(SCENES)]) for _ in range(FACT_SHEETS) for item in facts(rng)]
    return ask_one, drawn(known), drawn(readings)


def drawn(lessons: Sequence[Lesson]) -> Callable[[Random], Lesson]:
    """Any of the lessons."""
    return lambda rng: rng.choice(lessons)


def fresh(course: Course, seed: int) -> Reader:
    """A reader that has learnt nothing, with the words of a course."""
    heard = [course.lesson(seed, index).item for index in range(SPOKEN)]
    torch.manual_seed(derive_seed(seed, "reader"))
    return Reader([*TITLES, *(" ".join([item.question, *item.options]) for item in heard)], WIDTH)


def trained_reader(experiment: Experiment, name: str, seed: int, course: Course, base: Reader | None) -> Reader:
    """A reader after a course: a fresh one, or one that starts with the weights of ``base``."""
    lessons = round((BASE_LESSONS if base is None else SEEING_LESSONS) * experiment.scale)
    settings = Settings(
        images=lessons,
        batch=64,
        lr=3e-3,
        warmup=3_000,
        ema=0,
        precision="fp32",
        seed=seed,
        sample_every=10**9,
        checkpoint_every=10_000,
    )
    model = fresh(course, seed) if base is None else copy.deepcopy(base)
    experiment.say(f"reader {name}, seed {seed}")
    folder: Path = experiment.directory / "audits" / f"{name}-{seed}-{lessons}"
    run = train_on(Reading(model, course, seed).task(), settings, folder, name)
    if run.images < settings.images:
        raise KeyboardInterrupt  # saved; the same command goes on
    return model.eval()


CLAIMS = (  # the bounds hold the readers' competence: what they know is found, what they see is worth 20 points
    Comparison(
        (),
        f"precision and recall of every planted flag: at least {LEAST}, on every seed",
        "one flag of one seed below",
        flags_are_found,
    ),
    Comparison(
        (),
        f"gain with shuffled pictures within {NEAR_ZERO} of 0, with own pictures at least {FAR}, on every seed",
        "one seed outside",
        gain_is_of_seeing,
        "the reader trained with shuffled pictures",
    ),
)

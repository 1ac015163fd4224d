"""Language basis: a LLaVA whose pictures are combinations of the language model's own words.

Liao et al., LangBridge, arXiv:2503.19404; convex as in AlignVLM, arXiv:2502.01341. Each patch becomes
``mu + gamma sum_j c_j (e_j - mu)``, so what it says can be read word by word, and the same coefficients speak to
another language model with the same subwords (`LanguageBasis.swap`). Deviations: those of `llava`; a centre and a
learned gain, without which mixtures of many words are all alike (`limner.connectors.basis`).

    limner train superclass --out runs/superclass
    limner train language_basis --encoder runs/superclass --out runs/words
    limner train language_basis --encoder runs/superclass --classifier --out runs/started
    limner train language_basis --encoder runs/superclass --basis matched --out runs/control
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
from jaxtyping import Int
from torch import Tensor, nn

from limner.connectors.bases import AllWords, Basis, ChosenWords, Clusters, Principal, most_frequent, random_subset
from limner.connectors.basis import LanguageBasis, Leak
from limner.connectors.coefficients import Phi, Softmax, Sparsemax, TopK, Unconstrained
from limner.connectors.connector import Words
from limner.connectors.controls import Learned, Matched
from limner.connectors.scores import AttentionHead, DenseHead
from limner.connectors.ties import Snapshot, Stopped
from limner.encoders.matcher import ImageTextModel
from limner.encoders.subwords import SubwordClassifier
from limner.errors import InputError
from limner.languages.subwords import Subwords
from limner.models.vision_language import VisionLanguageModel
from limner.recipe import Claim, Recipe
from limner.recipes.understanding import llava
from limner.recipes.understanding.asked import (
    TINY,
    ConversationLesson,
    SeeingTask,
    conversation_lesson,
    said,
    seeing_scores,
)
from limner.recipes.understanding.parts import parts, seer
from limner.store.folder import load
from limner.unified.segments import KINDS

MEASURED = 32  # pictures from which the gain is started


@dataclass(frozen=True, kw_only=True)
class Knobs(llava.Knobs):
    """A LLaVA that sees in words."""

    phi: Literal["unconstrained", "softmax", "sparsemax", "top-k"] = "softmax"
    """Scores to coefficients."""
    k: int = 8
    """Words that top-k leaves to a patch."""
    dense_until: float = 0.5
    """Part of the training in which top-k still takes all words: chosen from the start, few of them ever learn."""
    sparse_from: float = 0.75
    """Part of the training after which k are left; 0 with --dense-until 0 chooses from the start."""
    tau: float = 1.0
    """Temperature of the coefficients at the start; it is learned."""
    basis: Literal["all", "frequent", "random", "clusters", "principal", "matched", "learned"] = "all"
    """What is mixed: all words, some, means of clusters of them, directions, or controls that are no words."""
    entries: int = 256
    """How many words, clusters, directions or learned vectors; "all" and "matched" are as many as there are words."""
    tie: Literal["live", "stopped", "snapshot"] = "stopped"
    """Pictures teach the words that they are made of; or follow them; or keep to those of the start."""
    head: Literal["dense", "attention"] = "dense"
    """A row of its own per vector of the basis, or inner products with it."""
    centred: bool = True
    """Mix around the mean with a learned gain; the papers do not."""
    leak: int = 0
    """Rank of what is added beside the words."""
    classifier: bool = False
    """Start from the given encoder's own classifier into subwords (SuperClass)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.dense_until <= self.sparse_from <= 1:
            raise InputError(
                f"--dense-until {self.dense_until} and --sparse-from {self.sparse_from} are parts of the training: "
                "give the first from 0 and the second up to 1, in this order"
            )


def phi(knobs: Knobs) -> Phi:
    """Scores to coefficients."""
    if knobs.phi == "unconstrained":
        return Unconstrained()
    if knobs.phi == "top-k":
        passes = knobs.images * knobs.accumulate // knobs.batch
        begin, end = (round(part * passes) for part in (knobs.dense_until, knobs.sparse_from))
        return TopK(knobs.k, knobs.tau, begin=begin, end=end)
    return Softmax(knobs.tau) if knobs.phi == "softmax" else Sparsemax(knobs.tau)


def basis(knobs: Knobs, words: Words, chosen: Int[Tensor, "entries"]) -> Basis:
    """What is mixed of a table of ``words``, untied; ``chosen``: the words of a basis of some."""
    (vocabulary, width), entries = words.shape, knobs.entries
    return {
        "all": lambda: AllWords(vocabulary),
        "frequent": lambda: ChosenWords(chosen),
        "random": lambda: ChosenWords(chosen),
        "clusters": lambda: Clusters(vocabulary, entries, knobs.seed),
        "principal": lambda: Principal(vocabulary, entries),
        "matched": lambda: Matched(vocabulary, width, knobs.seed),  # as many as the words they stand for
        "learned": lambda: Learned(entries, width),
    }[knobs.basis]()


def connector(knobs: Knobs, features: int, words: Words, chosen: Int[Tensor, "entries"]) -> LanguageBasis:
    """The connector between patches of so many ``features`` and a table of ``words``, not settled."""
    mixed, width = basis(knobs, words, chosen), words.shape[1]
    tied = {"live": lambda: mixed, "stopped": lambda: Stopped(mixed), "snapshot": lambda: Snapshot(mixed, width)}
    head = (
        DenseHead(nn.Identity(), features, mixed.size)  # the encoder's features are normalised
        if knobs.head == "dense"
        else AttentionHead(nn.Identity(), features, width)
    )
    leak = Leak(features, knobs.leak, width) if knobs.leak else None
    return LanguageBasis(head, phi(knobs), tied[knobs.tie](), centred=knobs.centred, leak=leak)


def build(knobs: Knobs) -> VisionLanguageModel:
    """A freshly initialised model that sees in words; which words are the most frequent, only `lesson` knows."""
    made = parts(knobs)
    words, features = made.language.words.detach(), made.encoder.width
    joined = connector(knobs, features, words, random_subset(len(words), knobs.entries, knobs.seed))
    joined.settle(words, torch.randn(1, (knobs.size // knobs.patch) ** 2, features))
    return seer(knobs, made, joined)


def lesson(knobs: Knobs, model: VisionLanguageModel) -> SeeingTask:
    """How it is trained; errors as those of `settle` and `conversation_lesson`."""
    made = conversation_lesson(knobs, model)
    settle(knobs, made)
    return made.task()


def settle(knobs: Knobs, made: ConversationLesson) -> None:
    """Decide which words are mixed, and how far, by what is said and shown; what was aligned is settled.

    Raises `InputError` for a ``--classifier`` that there is not.
    """
    if knobs.aligned is not None:
        return
    model = made.model
    table = model.language.words.detach()
    chosen = random_subset(len(table), knobs.entries, knobs.seed)
    if knobs.basis == "frequent":
        texts = (model.vocabulary.ids(text) for text in said(made.sources))
        chosen = most_frequent(texts, len(table), knobs.entries)
        model.connector = connector(knobs, model.encoder.width, table, chosen)
    words = cast(LanguageBasis, model.connector)
    if knobs.classifier:
        if knobs.language is not None:
            raise InputError("--classifier names subwords of limner's own: leave it out, or leave out --language")
        if knobs.head != "dense" or knobs.basis not in ("all", "frequent", "random"):
            raise InputError("--classifier scores words: use --head dense and --basis all, frequent or random")
        rows = range(len(table)) if knobs.basis == "all" else chosen.tolist()
        start(knobs.encoder, words, cast(Subwords, model.vocabulary), rows)
    batch = made.batch(0, MEASURED)
    shown = batch["image"][(batch["kinds"] == KINDS.index("seen")).any(1)]
    if not len(shown):
        raise InputError(f"none of {MEASURED} rows of --data {knobs.data} has a picture: give rows to be seen")
    with torch.no_grad():
        words.settle(table, model.encoder(shown).vectors)


def start(encoder: str | None, words: LanguageBasis, subwords: Subwords, rows: Sequence[int]) -> None:
    """Begin as the classifier of a SuperClass, for a basis of these ``rows`` of the table: subwords that are spelled
    alike are the same. Raises `InputError` if ``encoder`` names none."""
    given = load(encoder) if encoder is not None else None
    taught = given.taught if isinstance(given, ImageTextModel) else None
    if not isinstance(taught, SubwordClassifier) or len(taught.head.blocks):
        raise InputError(
            f"--encoder {encoder} has no linear classifier into subwords: give a SuperClass of --head-depth 0"
        )
    known = cast(Subwords, cast(ImageTextModel, given).subwords).vocabulary.get_vocab()
    ids = torch.tensor([known.get(subwords.vocabulary.id_to_token(row) or "", -1) for row in rows])
    output = taught.head.output
    cast(DenseHead, words.head).start_from(output.weight, output.bias, ids)


RECIPE = Recipe(
    system="language-basis",
    state="works",
    paper="arXiv:2503.19404",
    knobs=Knobs,
    build=build,
    lesson=lesson,
    score=seeing_scores,
    tiny=TINY,
    claims=(
        Claim(
            text="mixtures of the language model's own words answer as many questions right as an MLP, within 2 points",
            source="arXiv:2503.19404, Section 4",
        ),
        Claim(
            text="the words that weigh most in a patch name what it shows more often than with a random basis matched "
            "to the words, and than the words nearest to the vectors of an MLP",
            source="arXiv:2503.19404, Abstract",
        ),
        Claim(
            text="so they do if their scores start as those of SuperClass's classifier",
            source="arXiv:2503.19404, Abstract; the start by arXiv:2411.03313, Section 3",
        ),
    ),
)

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

from dataclasses import dataclass
from typing import Literal, cast

import torch
from jaxtyping import Int
from torch import Tensor, nn

from limner.connectors.bases import AllWords, Basis, ChosenWords, Clusters, Principal, most_frequent, random_subset
from limner.connectors.basis import LanguageBasis, Leak
from limner.connectors.coefficients import Phi, Softmax, Sparsemax, TopK, Unconstrained
from limner.connectors.controls import Learned, Matched
from limner.connectors.scores import AttentionHead, DenseHead
from limner.connectors.ties import Snapshot, Stopped
from limner.encoders.matcher import Matcher
from limner.encoders.subwords import SubwordClassifier
from limner.errors import InputError
from limner.languages.subwords import Subwords
from limner.recipes.library import load
from limner.recipes.recipe import Claim, Recipe
from limner.recipes.understanding import llava
from limner.recipes.understanding.asked import AskedTask, asked_task, said, seeing_scores, seer, sources
from limner.unified.seer import Seer

MEASURED = 32  # pictures from which the gain is started


@dataclass(frozen=True, kw_only=True)
class Knobs(llava.Knobs):
    """A LLaVA that sees in words."""

    phi: Literal["unconstrained", "softmax", "sparsemax", "top-k"] = "softmax"
    """Scores to coefficients."""
    k: int = 8
    """Words that top-k leaves to a patch."""
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


def phi(knobs: Knobs) -> Phi:
    """Scores to coefficients."""
    if knobs.phi == "unconstrained":
        return Unconstrained()
    if knobs.phi == "top-k":
        return TopK(knobs.k, knobs.tau)
    return Softmax(knobs.tau) if knobs.phi == "softmax" else Sparsemax(knobs.tau)


def basis(knobs: Knobs, chosen: Int[Tensor, "entries"]) -> Basis:
    """What is mixed, untied; ``chosen``: the words of a basis of some."""
    vocabulary, entries, width = knobs.vocabulary, knobs.entries, knobs.width
    return {
        "all": lambda: AllWords(vocabulary),
        "frequent": lambda: ChosenWords(chosen),
        "random": lambda: ChosenWords(chosen),
        "clusters": lambda: Clusters(vocabulary, entries, knobs.seed),
        "principal": lambda: Principal(vocabulary, entries),
        "matched": lambda: Matched(vocabulary, width, knobs.seed),  # as many as the words they stand for
        "learned": lambda: Learned(entries, width),
    }[knobs.basis]()


def connector(knobs: Knobs, chosen: Int[Tensor, "entries"]) -> LanguageBasis:
    """The connector, not settled."""
    mixed = basis(knobs, chosen)
    tied = {"live": lambda: mixed, "stopped": lambda: Stopped(mixed), "snapshot": lambda: Snapshot(mixed, knobs.width)}
    width = knobs.encoder_width
    head = (
        DenseHead(nn.Identity(), width, mixed.size)  # the encoder's features are normalised
        if knobs.head == "dense"
        else AttentionHead(nn.Identity(), width, knobs.width)
    )
    leak = Leak(width, knobs.leak, knobs.width) if knobs.leak else None
    return LanguageBasis(head, phi(knobs), tied[knobs.tie](), centred=knobs.centred, leak=leak)


def build(knobs: Knobs) -> Seer:
    """A freshly initialised model that sees in words; which words are the most frequent, only `task` knows."""
    made = connector(knobs, random_subset(knobs.vocabulary, knobs.entries, knobs.seed))
    model = seer(knobs, made)
    made.settle(model.language.words, torch.randn(1, model.encoder.grid**2, knobs.encoder_width))
    return model


def task(knobs: Knobs) -> AskedTask:
    """How it is trained; raises `InputError` for a ``--classifier`` that there is not, and errors as `asked_task`."""
    model = build(knobs)
    made = asked_task(knobs, model)
    subwords = cast(Subwords, model.vocabulary)
    chosen = random_subset(knobs.vocabulary, knobs.entries, knobs.seed)
    if knobs.basis == "frequent":
        texts = (subwords.ids(text) for text in said(sources(knobs)))
        chosen = most_frequent(texts, knobs.vocabulary, knobs.entries)
        model.connector = connector(knobs, chosen)
    words = cast(LanguageBasis, model.connector)
    if knobs.classifier:
        start(knobs, words, subwords, chosen)
    with torch.no_grad():
        words.settle(model.language.words, model.encoder.features(made.batch(0, MEASURED)["image"]))
    return made


def start(knobs: Knobs, words: LanguageBasis, subwords: Subwords, chosen: Int[Tensor, "entries"]) -> None:
    """Begin as SuperClass's classifier: subwords that are spelled alike are the same."""
    if knobs.head != "dense" or knobs.basis not in ("all", "frequent", "random"):
        raise InputError("--classifier scores words: use --head dense and --basis all, frequent or random")
    given = load(knobs.encoder) if knobs.encoder is not None else None
    taught = given.taught if isinstance(given, Matcher) else None
    if not isinstance(taught, SubwordClassifier) or len(taught.head.blocks):
        raise InputError(
            f"--encoder {knobs.encoder} has no linear classifier into subwords: give a SuperClass of --head-depth 0"
        )
    rows = range(knobs.vocabulary) if knobs.basis == "all" else chosen.tolist()
    known = cast(Subwords, cast(Matcher, given).subwords).vocabulary.get_vocab()
    ids = torch.tensor([known.get(subwords.vocabulary.id_to_token(row) or "", -1) for row in rows])
    output = taught.head.output
    cast(DenseHead, words.head).start_from(output.weight, output.bias, ids)


RECIPE = Recipe(
    system="language-basis",
    state="partly",
    paper="arXiv:2503.19404",
    knobs=Knobs,
    build=build,
    task=task,
    score=seeing_scores,
    claims=(
        Claim(
            text="mixtures of the language model's own words answer as many questions right as an MLP, within 2 points",
            source="arXiv:2503.19404, Section 4",
        ),
        Claim(
            text="the words that weigh most in a patch name what it shows, 20 points more often than with a random "
            "basis matched to the words, and than the words nearest to the vectors of an MLP",
            source="arXiv:2503.19404, Abstract",
        ),
    ),
)

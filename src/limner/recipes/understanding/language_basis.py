"""Language basis: a LLaVA whose images are combinations of the language model's own words.

Liao et al., LangBridge, arXiv:2503.19404; convex as in AlignVLM, arXiv:2502.01341. Each patch becomes

    v = mu + gamma sum_j c_j (e_j - mu),      c = softmax(W f / tau)

so what it means can be read word by word, and the same coefficients make vectors of another language model with the
same subwords (`LanguageBasis.swap`). Deviations: those of `llava`; a centre and a learned gain, without which mixtures
of many words are all alike (`limner.connectors.basis`). A recipe with other coefficients, another basis or another
score of words hands a `Mixture` to `build` and `lesson`, as `language_basis_sparse` and ``language_basis_matched`` do.

    limner train superclass --out runs/superclass
    limner train language_basis --encoder runs/superclass --out runs/words
    limner train language_basis --encoder runs/superclass --classifier --out runs/started
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, TypeAlias, cast

import torch
from jaxtyping import Int
from torch import Tensor, nn

from limner.connectors.bases import AllWords, Basis, ChosenWords, most_frequent, random_subset
from limner.connectors.basis import LanguageBasis, Leak
from limner.connectors.coefficients import Phi, Softmax
from limner.connectors.connector import Words
from limner.connectors.scores import DenseHead, ScoreHead
from limner.connectors.ties import Stopped
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
from limner.train.settings import RARE
from limner.unified.segments import KINDS

MEASURED = 32  # images from which the gain is started
Chosen: TypeAlias = Int[Tensor, "entries"] | None  # rows of the words that are mixed; None: all


@dataclass(frozen=True, kw_only=True)
class Knobs(llava.Knobs):
    """A LLaVA whose images are mixtures of words."""

    frequent: int | None = None
    """Mix only so many words, the most frequent of the data."""
    classifier: bool = False
    """Start from the given encoder's own classifier into subwords (SuperClass)."""
    tau: float = field(default=1.0, metadata=RARE)
    """Temperature of the coefficients at the start; it is learned."""
    centred: bool = field(default=True, metadata=RARE)
    """Mix around the mean with a learned gain; the papers do not."""
    leak: int = field(default=0, metadata=RARE)
    """Rank of what is added beside the words."""

    retired = frozenset({"k", "dense_until", "sparse_from", "entries"})
    fixed: ClassVar = {"phi": "softmax", "basis": "all", "tie": "stopped", "head": "dense"}


def words_of(knobs: Any, words: Words, chosen: Chosen) -> Basis:
    """All words, or those chosen; images follow the table of words and do not train it."""
    return Stopped(AllWords(len(words)) if chosen is None else ChosenWords(chosen))


class Mixture(NamedTuple):
    """What is mixed, and how: what systems of this kind choose.

    Args:
        phi: scores to coefficients.
        basis: of a table of words, and of the rows chosen from it; tied to the table or not.
        head: patches of so many channels to scores of a basis, for words of so many channels.
    """

    phi: Callable[[Any], Phi] = lambda knobs: Softmax(knobs.tau)
    basis: Callable[[Any, Words, Chosen], Basis] = words_of
    head: Callable[[int, Basis, int], ScoreHead] = lambda features, basis, width: DenseHead(
        nn.Identity(), features, basis.size
    )  # the encoder's patches are normalised


ALL_WORDS = Mixture()


def connector(knobs: Knobs, features: int, words: Words, chosen: Chosen, mixture: Mixture = ALL_WORDS) -> LanguageBasis:
    """The connector between patches of so many ``features`` and a table of ``words``, not settled."""
    basis, width = mixture.basis(knobs, words, chosen), words.shape[1]
    leak = Leak(features, knobs.leak, width) if knobs.leak else None
    head = mixture.head(features, basis, width)
    return LanguageBasis(head, mixture.phi(knobs), basis, centred=knobs.centred, leak=leak)


def build(knobs: Knobs, mixture: Mixture = ALL_WORDS) -> VisionLanguageModel:
    """A freshly initialised model; which words are the most frequent, only `lesson` knows."""
    made = parts(knobs)
    words, features = made.language.words.detach(), made.encoder.width
    chosen = None if knobs.frequent is None else random_subset(len(words), knobs.frequent, knobs.seed)
    joined = connector(knobs, features, words, chosen, mixture)
    joined.settle(words, torch.randn(1, (knobs.size // knobs.patch) ** 2, features))
    return seer(knobs, made, joined)


def lesson(knobs: Knobs, model: VisionLanguageModel, mixture: Mixture = ALL_WORDS) -> SeeingTask:
    """How it is trained; errors as those of `settle` and `conversation_lesson`."""
    made = conversation_lesson(knobs, model)
    settle(knobs, made, mixture)
    return made.task()


def settle(knobs: Knobs, made: ConversationLesson, mixture: Mixture = ALL_WORDS) -> None:
    """Choose the words that are mixed by the data, and start the gain; what was aligned is settled.

    Raises `InputError` for a ``--classifier`` that there is not.
    """
    if knobs.aligned is not None:
        return
    model = made.model
    table = model.language.words.detach()
    chosen = None
    if knobs.frequent is not None:
        texts = (model.vocabulary.ids(text) for text in said(made.sources))
        chosen = most_frequent(texts, len(table), knobs.frequent)
        model.connector = connector(knobs, model.encoder.width, table, chosen, mixture)
    words = cast(LanguageBasis, model.connector)
    if knobs.classifier:
        if not isinstance(model.vocabulary, Subwords):
            raise InputError("--classifier names subwords of limner's own: leave it out, or leave out --language")
        start(
            knobs.encoder,
            words,
            model.vocabulary,
            range(len(table)) if chosen is None else chosen.tolist(),
        )
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

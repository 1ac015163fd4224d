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

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeAlias, cast

import torch
from jaxtyping import Int
from torch import Tensor, nn

from limner.connectors.bases import AllWords, Basis, ChosenWords, most_frequent, random_subset
from limner.connectors.basis import LanguageBasis, Leak
from limner.connectors.coefficients import Phi, Softmax
from limner.connectors.connector import Words
from limner.connectors.scores import DenseHead, ScoreHead
from limner.connectors.ties import Stopped
from limner.errors import InputError
from limner.languages.subwords import Subwords
from limner.models.vision_language import VisionLanguageModel
from limner.recipe import Claim, Recipe
from limner.recipes.understanding import family
from limner.recipes.understanding.family import TINY, Lesson, conversation_lesson, parts, score, vision_language
from limner.train.settings import RARE
from limner.unified.segments import KINDS

if TYPE_CHECKING:
    from limner.lessons.conversations import ConversationLesson

MEASURED = 32  # images from which the gain is started
Chosen: TypeAlias = Int[Tensor, "entries"] | None  # rows of the words that are mixed; None: all


@dataclass(frozen=True, kw_only=True)
class Knobs(family.Knobs):
    """A LLaVA whose images are mixtures of words."""

    frequent: int | None = None
    """Mix only so many words, the most frequent of the data."""
    classifier: bool = False
    """Start from the classifier into subwords of --encoder, a SuperClass."""
    tau: float = field(default=1.0, metadata=RARE)
    """Temperature of the coefficients at the start; it is learned."""
    centred: bool = field(default=True, metadata=RARE)
    """Mix around the mean with a learned gain; the papers do not."""
    leak: int = field(default=0, metadata=RARE)
    """Rank of what is added beside the words."""

    retired = frozenset({"k", "dense_until", "sparse_from", "entries"})
    fixed: ClassVar = {"phi": "softmax", "basis": "all", "tie": "stopped", "head": "dense"}

    @classmethod
    def renewed(cls, values: dict[str, Any]) -> dict[str, Any]:
        """``basis`` frequent of so many ``entries`` is ``frequent`` now."""
        if values.get("basis") != "frequent":
            return values
        return {**values, "basis": "all", "frequent": values.get("entries")}


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
    basis = connector(knobs, features, words, chosen, mixture)
    basis.settle(words, torch.randn(1, (knobs.size // knobs.patch) ** 2, features))
    return vision_language(knobs, made, basis)


def lesson(knobs: Knobs, model: VisionLanguageModel, mixture: Mixture = ALL_WORDS) -> Lesson:
    """Training on answers; errors as those of `settle` and `conversation_lesson`."""
    made = conversation_lesson(knobs, model)
    settle(knobs, made, mixture)
    return made.task()


def settle(knobs: Knobs, lesson: ConversationLesson, mixture: Mixture = ALL_WORDS) -> None:
    """Choose the words that are mixed by the data, and start the gain; what was aligned is settled.

    Raises `InputError` for a ``--classifier`` without one, and for data without images.
    """
    from limner.lessons.conversations import texts
    from limner.recipes.understanding.start import start_scores

    if knobs.aligned is not None:
        return
    model = lesson.model
    table = model.language.words.detach()
    chosen = None
    if knobs.frequent is not None:
        ids = (model.vocabulary.ids(text) for text in texts(lesson.sources))
        chosen = most_frequent(ids, len(table), knobs.frequent)
        model.connector = connector(knobs, model.encoder.width, table, chosen, mixture)
    basis = cast(LanguageBasis, model.connector)
    if knobs.classifier:
        if not isinstance(model.vocabulary, Subwords):
            raise InputError("--classifier names subwords of limner's own: leave it out, or leave out --language")
        start_scores(knobs.encoder, basis, model.vocabulary, range(len(table)) if chosen is None else chosen.tolist())
    batch = lesson.batch(0, MEASURED)
    images = batch["image"][(batch["kinds"] == KINDS.index("seen")).any(1)]
    if not len(images):
        raise InputError(
            f"none of {MEASURED} rows of --data {knobs.data} has a picture: give rows to be seen, or a longer --length"
        )
    with torch.no_grad():
        basis.settle(table, model.encoder(images).vectors)


RECIPE = Recipe(
    system="language-basis",
    state="works",
    paper="arXiv:2503.19404",
    knobs=Knobs,
    build=build,
    lesson=lesson,
    score=score,
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

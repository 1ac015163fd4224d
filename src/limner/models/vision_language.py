"""A vision-language model: encoder, reduction, connector and language model in a row (Liu et al., LLaVA,
arXiv:2304.08485).

    patches = reduce(encoder(image), question)                  all patches, or fewer: pruned, merged, resampled
    vectors = connector(patches, words)                         the image, as if it were words
    hidden  = language([vectors; embed(question, answer)])      read together, by the reader
    loss    = cross-entropy of the answers alone

Nothing here knows which of each it holds, nor how many patches an image has.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, SupportsIndex, TypeAlias, cast, overload, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from limner.connectors.connector import Connector, InTurn, Query, Reduce, unreduced
from limner.data.conversations import DESCRIBE, Turn
from limner.data.preprocess import Given, Pictures, gather
from limner.decode.contrast import Contrast
from limner.decode.text import GREEDY, complete
from limner.encoders.encoder import VisionEncoder
from limner.errors import InputError
from limner.languages.language import LanguageModel, Vectors
from limner.nn.transformer import take
from limner.nn.whole_batch import over_batch
from limner.types import Image, Patches, whole
from limner.unified.conversation import TextVocabulary, pack, segments_of
from limner.unified.dropping import Reader, whole_rows
from limner.unified.segments import NOTHING, Packed, embed, lay_out
from limner.unified.words import PatchWords, patch_words

ANSWER = 24  # subwords of the longest answer, unless ``limit`` is larger
BATCH = 32  # questions that are answered at a time
Several: TypeAlias = list[Given] | tuple[Given, ...]
Questions: TypeAlias = str | Sequence[str] | None


@runtime_checkable
class Sees(Protocol):
    """A model that answers about images."""

    @property
    def size(self) -> int:
        """Pixels on a side of an image."""

    def see(self, image: Given, question: str | None = None) -> str:
        """An answer, or without a question a description."""

    def words(self, image: Given, count: int = 5) -> PatchWords:
        """The heaviest words of every patch."""


class VisionLanguageModel(nn.Module):
    """Answers questions about images.

    Args:
        encoder: images to patches.
        connector: patches to vectors in the space of words.
        language: reads both and answers; a module too.
        vocabulary: of the language model; a module if its state is to travel with the weights.
        learns_to_see: train the encoder too.
        placed: add a learned vector per position to the connector's. Mixtures of words do not hold their position, and
            rotary positions do not distinguish equal ones.
        reduce: makes fewer patches of an encoder's; a module too if it learns.
        reader: how the language model reads rows, see `limner.unified.dropping`.
        contrast: a second view of every picture that has a say in each word of an answer, see `limner.decode.contrast`.
    """

    def __init__(
        self,
        encoder: VisionEncoder,
        connector: Connector,
        language: LanguageModel,
        vocabulary: TextVocabulary,
        *,
        learns_to_see: bool = False,
        placed: bool = False,
        reduce: Reduce = unreduced,
        reader: Reader = whole_rows,
        contrast: Contrast | None = None,
    ) -> None:
        super().__init__()
        self.encoder, self.connector, self.language, self.vocabulary = encoder, connector, language, vocabulary
        self.reduce, self.reader, self.contrast = reduce, reader, contrast
        self._counts = dict[tuple[int, int], int]()
        assert isinstance(encoder, nn.Module)
        encoder.requires_grad_(learns_to_see)
        self.learns_to_see = learns_to_see
        scale = float(language.words.detach().std())
        self.position = nn.Parameter(scale * torch.randn(self.image_tokens, language.width)) if placed else None

    def changed(
        self,
        *,
        encoder: VisionEncoder | None = None,
        connector: Connector | None = None,
        reduce: Reduce | None = None,
        reader: Reader | None = None,
        contrast: Contrast | None = None,
    ) -> VisionLanguageModel:
        """The same model with these; modules and weights are shared. A second reduction comes after the first. Raises
        `InputError` for a second reader, and for a second contrast."""
        if (reader and self.reader is not whole_rows) or (contrast and self.contrast):
            part = "drops tokens from its layers" if reader else "contrasts its pictures"
            raise InputError(f"this model already {part} by another technique: use one of the two")
        if reduce is not None and self.reduce is not unreduced:
            reduce = InTurn(self.reduce, reduce)
        made = VisionLanguageModel(
            encoder or self.encoder,
            connector or self.connector,
            self.language,
            self.vocabulary,
            learns_to_see=self.learns_to_see,
            reduce=reduce or self.reduce,
            reader=reader or self.reader,
            contrast=contrast or self.contrast,
        )
        made.position = self.position
        return made.train(self.training)

    @property
    def image_tokens(self) -> int:
        """Tokens of a square image of the encoder's size."""
        return self.count(self.size, self.size)

    @torch.no_grad()
    def count(self, height: int, width: int) -> int:
        """Tokens that an image of so many pixels takes: those of a blank one, encoded once for every shape."""
        if (height, width) not in self._counts:
            weight = next(cast(nn.Module, self.encoder).parameters())
            blank = torch.zeros(1, 3, height, width, device=weight.device, dtype=weight.dtype)
            patches = self.reduce(self.encoder(blank), None)
            self._counts[height, width] = self.connector(patches, self.language.words).shape[1]
        return self._counts[height, width]

    def vectors(self, image: Image, query: Query | None = None) -> Float[Tensor, "b m d"]:
        """Images as input vectors of the language model; ``query``: of the questions, for reductions that read them."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.learns_to_see):
            patches = self.encoder(image)
        return self.connect(patches, query)

    def connect(self, patches: Patches, query: Query | None = None) -> Float[Tensor, "b m d"]:
        """An encoder's patches, reduced and connected, as they enter the language model."""
        patches = self.reduce(patches, query)
        vectors = self.connector(patches, self.language.words)
        return vectors if self.position is None else vectors + self._positions(patches, vectors.shape[1])

    def _positions(self, patches: Patches, count: int) -> Float[Tensor, "*b m d"]:
        """The learned vectors of these patches' positions."""
        assert self.position is not None
        if count == len(self.position):
            return self.position
        side = math.isqrt(len(self.position))
        if count != patches.vectors.shape[1] or int(patches.positions.max()) >= side:
            raise InputError(
                f"this model has learned positions of {side}x{side} patches, which images of other grids do not "
                f"have: give images of {self.size}x{self.size} pixels"
            )
        return self.position[patches.positions @ patches.positions.new_tensor([side, 1])]

    def embed(self, packed: Packed, vectors: Float[Tensor, "pictured m d"] | None) -> Vectors:
        """Input vectors of every token: words, and those of images where rows have one."""
        return embed(packed, self.language.embed, {} if vectors is None else {"seen": vectors.flatten(0, 1)})

    def hidden(self, packed: Packed, vectors: Float[Tensor, "pictured m d"] | None) -> Vectors:
        """Last hidden states of every token."""
        language = self.reader(self.language, packed)
        return language(self.embed(packed, vectors), packed.positions, packed.visible())

    def image_states(self, image: Image) -> Float[Tensor, "b m d"]:
        """Last hidden states of images alone; questions behind them change nothing, for no image attends to words."""
        return self.hidden(pack([()] * len(image), self.vocabulary, self.image_tokens), self.vectors(image))

    def states_at_images(self, packed: Packed, hidden: Vectors) -> tuple[Float[Tensor, "b m d"], Bool[Tensor, "b"]]:
        """Of last hidden states those at the image's tokens, where rows have one, and which rows do."""
        return hidden[:, : self.image_tokens], packed.pictured()

    def answer_loss(self, packed: Packed, hidden: Vectors) -> Float[Tensor, ""]:
        """Mean cross-entropy, in nats, of the subwords of answers; 0 where there are none."""
        targets = packed.targets
        learned = targets != NOTHING
        if not learned.any():
            return over_batch(hidden.float().sum() * 0.0, 0, "answers")
        logits = self.language.logits(hidden[learned][None])[0].float()
        return over_batch(functional.cross_entropy(logits, targets[learned]), learned.sum(), "answers")

    @property
    def size(self) -> int:
        """Pixels on a side of an image."""
        return self.encoder.size

    @overload
    def see(self, image: Given, question: str | None = None) -> str: ...
    @overload
    def see(self, image: Several, question: Questions = None) -> list[str]: ...
    def see(self, image: Given | Several, question: Questions = None) -> str | list[str]:
        """The answer to a question about a picture, or without one its description; of a list of pictures the answer
        of each, to one question or to as many as there are pictures. Errors as those of `limner.data.preprocess`."""
        pictures = image if isinstance(image, list | tuple) else [image]
        questions = [question] * len(pictures) if question is None or isinstance(question, str) else list(question)
        if len(questions) != len(pictures):
            raise InputError(f"{len(pictures)} pictures were given {len(questions)} questions: give one for each")
        answers = self.answers(self._ready(pictures), [DESCRIBE if text is None else text for text in questions])
        return answers if pictures is image else answers[0]

    @overload
    def words(self, image: Given, count: SupportsIndex = 5) -> PatchWords: ...
    @overload
    def words(self, image: Several, count: SupportsIndex = 5) -> list[PatchWords]: ...
    @torch.no_grad()
    def words(self, image: Given | Several, count: SupportsIndex = 5) -> PatchWords | list[PatchWords]:
        """The words that weigh most in every patch of a picture, or of each of a list; errors as those of
        `limner.data.preprocess` and `patch_words`."""
        if isinstance(image, list | tuple):
            return [self.words(one, count) for one in image]
        patches = self.encoder(self._ready([image]))
        reduced = self.reduce(patches, None)
        return patch_words(self.connector, reduced, self.language.words, self.vocabulary, count, patches.grid)

    def _ready(self, pictures: Pictures) -> Float[Tensor, "b 3 h w"]:
        weight = next(cast(nn.Module, self.encoder).parameters())
        return gather(pictures, self.size, "pad").to(weight.device, weight.dtype)

    def _query(self, questions: Sequence[str]) -> Query | None:
        """Word vectors of questions, for reductions that read them."""
        if self.reduce is unreduced:
            return None
        ids = [torch.tensor(self.vocabulary.ids(text)) for text in questions]
        padded = nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=-1).to(self.language.words.device)
        return self.language.embed(padded.clamp_min(0)) * (padded >= 0)[..., None]

    @torch.no_grad()
    def answers(self, images: Pictures | None, questions: Sequence[str], *, limit: SupportsIndex = ANSWER) -> list[str]:
        """One answer per question and picture; ``images`` None leaves out the images, and a tensor of them is taken as
        it is. ``limit``: most subwords of an answer. Raises `InputError` for a question that is no text, or longer than
        the language model reads."""
        limit = whole(limit, "the limit of an answer", 1)
        if wrong := [text for text in questions if not isinstance(text, str)]:
            raise InputError(f"{wrong[0]!r} is no question: give words such as 'what is in the picture?'")
        if images is not None and not isinstance(images, Tensor):
            images = self._ready(images)
        if images is not None and len(images) != len(questions):
            raise InputError(f"{len(images)} pictures were given {len(questions)} questions: give one for each")
        answers: list[str] = []
        contrast = self.contrast if images is not None and self.contrast and self.contrast.alpha else None
        for start in range(0, len(questions), BATCH):
            part = slice(start, start + BATCH)
            views: list[Image | None] = [None] if images is None else [images[part]]
            if images is not None and contrast is not None:
                views.append(contrast.view(images[part], questions[part]))
            packed, x = self._prompts(views, questions[part])
            written = complete(
                self.reader(self.language, packed),
                x,
                packed.visible(),
                packed.lengths(),
                stop=self.vocabulary.end(),
                limit=limit,
                options=GREEDY if contrast is None else replace(GREEDY, guidance=1.0 + contrast.alpha),
                combine=contrast,
            )
            answers += [self.vocabulary.text(row) for row in written.tolist()]
        return answers

    def first_words(self, vectors: Float[Tensor, "b m d"] | None, questions: Sequence[str]) -> Float[Tensor, "b v"]:
        """The probability of each subword of beginning the answer to a question about a picture of these vectors, or
        about none; gradients pass."""
        count = 0 if vectors is None else vectors.shape[1]
        packed = pack([[Turn(text)] for text in questions], self.vocabulary, count).to(self.language.words.device)
        last = packed.lengths()[:, None] - 1
        return self.language.logits(take(self.hidden(packed, vectors), last))[:, 0].float().softmax(-1)

    def _prompts(
        self, views: Sequence[Image | None], questions: Sequence[str]
    ) -> tuple[Packed, Float[Tensor, "rows n d"]]:
        """The questions as prompts, once for each view of their pictures, and their input vectors."""
        seen = [None if view is None else self.vectors(view, self._query(questions)) for view in views]
        rows = [
            segments_of(
                [Turn(text)],
                self.vocabulary,
                0 if vectors is None else vectors.shape[1],
                length=self.language.length - 1,
            )
            for vectors in seen
            for text in questions
        ]
        packed, given = lay_out(rows), [vectors for vectors in seen if vectors is not None]
        return packed, self.embed(packed, torch.cat(given) if given else None)

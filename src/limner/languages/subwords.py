"""A byte-pair vocabulary trained on the captions at hand (Sennrich et al., arXiv:1508.07909)."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import tokenizers
import torch
from jaxtyping import Int, UInt8
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor, nn

from limner.errors import CheckpointError, InputError

PAD, UNKNOWN, END = "[pad]", "[unknown]", "[end]"
_STOPS = re.compile(r" ([.,;:!?])")


class Subwords(nn.Module):
    """Captions to rows of ids, padded with 0 to one length.

    It is a module without parameters so that the vocabulary travels in the state of the model it belongs to.
    """

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length
        self.vocabulary = _empty()

    @classmethod
    def trained(cls, captions: Iterable[str], *, size: int, length: int, speaks: bool = False) -> Subwords:
        """A vocabulary of at most ``size`` subwords learned from ``captions``; one that ``speaks`` has a sign for the
        end."""
        subwords = cls(length)
        marks = [PAD, UNKNOWN, END] if speaks else [PAD, UNKNOWN]
        trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=marks, show_progress=False)
        subwords.vocabulary.train_from_iterator(captions, trainer)
        return subwords

    def encode(self, captions: Sequence[str]) -> Int[Tensor, "b k"]:
        """Ids ``[b, length]``; captions that are longer raise `InputError`."""
        rows = np.zeros((len(captions), self.length), dtype=np.int64)
        parts = [encoded.ids for encoded in self.vocabulary.encode_batch(list(captions))]
        for row, ids, caption in zip(rows, parts, captions, strict=True):
            if len(ids) > self.length:
                raise InputError(
                    f"{textwrap.shorten(caption, 60, placeholder=' ...')!r} has {len(ids)} subwords, but this model "
                    f"reads {self.length}: shorten it, or train with --text-length {max(map(len, parts))}"
                )
            row[: len(ids)] = ids
        return torch.from_numpy(rows)

    def end(self) -> int:
        """Id of the sign that ends a text; raises `InputError` in a vocabulary that has none."""
        end = self.vocabulary.token_to_id(END)
        if end is None:
            raise InputError("this vocabulary only reads: train one that speaks, with a sign for the end")
        return end

    def __len__(self) -> int:
        """Subwords there are."""
        return self.vocabulary.get_vocab_size()

    def ids(self, text: str) -> list[int]:
        """Subwords of a text of any length."""
        return list(self.vocabulary.encode(text).ids)

    def prompt_ids(self, question: str) -> list[int]:
        """Subwords of a question, which nothing sets apart from its answer."""
        return self.ids(question)

    def text(self, ids: Sequence[int]) -> str:
        """The text of subwords, up to the sign for the end, with no blank before a stop or comma."""
        ended = ids[: list(ids).index(self.end())] if self.end() in ids else ids
        return _STOPS.sub(r"\1", self.vocabulary.decode(list(ended)))

    def word(self, row: int) -> str:
        """A subword as a person writes it: "▁red" is "red", and a part within a word is "-angle"."""
        token = str(self.vocabulary.id_to_token(row))
        return token.removeprefix("▁") if token.startswith(("▁", "[")) else f"-{token}"

    def unknown(self, caption: str) -> list[str]:
        """Words of a caption with a letter that no training caption had; the model reads a blank in its place."""
        encoded = self.vocabulary.encode(caption)
        spelled = zip(encoded.tokens, encoded.word_ids, strict=True)
        words = dict.fromkeys(word for token, word in spelled if token == UNKNOWN and word is not None)
        spans = [encoded.word_to_chars(word) or (0, 0) for word in words]
        return [caption[start:stop] for start, stop in spans]

    def get_extra_state(self) -> UInt8[Tensor, "bytes"]:
        """The vocabulary as JSON bytes."""
        return torch.frombuffer(bytearray(self.vocabulary.to_str().encode()), dtype=torch.uint8)

    def set_extra_state(self, state: Any) -> None:
        """Read it back; raises `CheckpointError` if it is no vocabulary."""
        try:
            self.vocabulary = tokenizers.Tokenizer.from_str(bytes(state.cpu().numpy()).decode())
        except Exception as error:  # the library raises no other class
            raise CheckpointError(f"the vocabulary of a saved model is damaged ({error}): save it again") from None


def _empty() -> tokenizers.Tokenizer:
    vocabulary = tokenizers.Tokenizer(models.BPE(unk_token=UNKNOWN))
    vocabulary.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    # Words are marked where they begin: with a suffix where they end, the library numbers subwords at random.
    vocabulary.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Metaspace()])
    vocabulary.decoder = decoders.Metaspace()
    return vocabulary

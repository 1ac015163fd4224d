"""A byte-pair vocabulary trained on the captions at hand (Sennrich et al., arXiv:1508.07909)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import tokenizers
import torch
from jaxtyping import Int
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor, nn

from limner.errors import InputError

PAD, UNKNOWN = "[pad]", "[unknown]"


class Subwords(nn.Module):
    """Captions to rows of ids, padded with 0 to one length.

    It is a module without parameters so that the vocabulary travels in the state of the model it belongs to.
    """

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length
        self.vocabulary = _empty()

    @classmethod
    def trained(cls, captions: Iterable[str], *, size: int, length: int) -> Subwords:
        """A vocabulary of at most ``size`` subwords learned from ``captions``."""
        subwords = cls(length)
        trainer = trainers.BpeTrainer(
            vocab_size=size, special_tokens=[PAD, UNKNOWN], end_of_word_suffix="</w>", show_progress=False
        )
        subwords.vocabulary.train_from_iterator(captions, trainer)
        return subwords

    def encode(self, captions: Sequence[str]) -> Int[Tensor, "b k"]:
        """Ids ``[b, length]``; captions that are longer raise `InputError`."""
        rows = np.zeros((len(captions), self.length), dtype=np.int64)
        for row, encoded in zip(rows, self.vocabulary.encode_batch(list(captions)), strict=True):
            if len(encoded.ids) > self.length:
                text = captions[0] if len(captions) == 1 else "a caption"
                raise InputError(
                    f"{text!r} has {len(encoded.ids)} subwords, but this model reads {self.length}: shorten it"
                )
            row[: len(encoded.ids)] = encoded.ids
        return torch.from_numpy(rows)

    def unknown(self, caption: str) -> list[str]:
        """Words of a caption that the vocabulary cannot spell."""
        encoded = self.vocabulary.encode(caption)
        return [caption[a:b] for token, (a, b) in zip(encoded.tokens, encoded.offsets, strict=True) if token == UNKNOWN]

    def get_extra_state(self) -> Int[Tensor, "bytes"]:
        """The vocabulary as JSON bytes."""
        return torch.frombuffer(bytearray(self.vocabulary.to_str().encode()), dtype=torch.uint8)

    def set_extra_state(self, state: Any) -> None:
        """Read it back."""
        self.vocabulary = tokenizers.Tokenizer.from_str(bytes(state.numpy()).decode())


def _empty() -> tokenizers.Tokenizer:
    vocabulary = tokenizers.Tokenizer(models.BPE(unk_token=UNKNOWN, end_of_word_suffix="</w>"))
    vocabulary.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    vocabulary.pre_tokenizer = pre_tokenizers.Whitespace()
    vocabulary.decoder = decoders.BPEDecoder(suffix="</w>")
    return vocabulary

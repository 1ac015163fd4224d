"""A byte-pair vocabulary trained on the captions at hand (Sennrich et al., arXiv:1508.07909)."""

from __future__ import annotations

import json
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
from limner.languages.spelling import no_panic, whole_texts

PAD, UNKNOWN, END = "[pad]", "[unknown]", "[end]"
BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))
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
        end.

        Where there are more letters than that, as in Chinese captions, the 256 bytes are subwords too: frequent letters
        have a subword, the others are written in UTF-8. Raises `InputError` where not even the bytes have room.
        """
        subwords, given = cls(length), list(captions)
        marks = [PAD, UNKNOWN, END] if speaks else [PAD, UNKNOWN]
        letters = len(_alphabet(subwords.vocabulary, whole_texts(given)))
        by_bytes = letters > size - len(marks)
        room = (size - len(marks) - len(BYTES)) * 3 // 4 if by_bytes else size - len(marks)
        if room < 1:
            raise InputError(
                f"these captions are written in {letters} letters, for which {size} subwords have no room: train with "
                f"--vocabulary {2 * len(BYTES)} or more"
            )
        vocabulary = _empty(speaks=speaks, by_bytes=by_bytes)
        trainer = trainers.BpeTrainer(
            vocab_size=size,
            special_tokens=[*marks, *BYTES] if by_bytes else marks,
            limit_alphabet=room,
            show_progress=False,
        )
        with no_panic():
            vocabulary.train_from_iterator(given, trainer)
        subwords.vocabulary = _without_control(vocabulary)
        return subwords

    def encode(self, captions: Sequence[str]) -> Int[Tensor, "b k"]:
        """Ids ``[b, length]``; captions that are longer raise `InputError`."""
        rows = np.zeros((len(captions), self.length), dtype=np.int64)
        with no_panic():
            parts = [encoded.ids for encoded in self.vocabulary.encode_batch(whole_texts(captions))]
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
        with no_panic():
            return list(self.vocabulary.encode(whole_texts([text])[0]).ids)

    def prompt_ids(self, question: str) -> list[int]:
        """Subwords of a question, which nothing sets apart from its answer."""
        return self.ids(question)

    def text(self, ids: Sequence[int]) -> str:
        """The text of subwords, up to the sign for the end. Vocabularies of before, which set a blank before every
        stop and comma, lose it."""
        ended = ids[: list(ids).index(self.end())] if self.end() in ids else ids
        with no_panic():
            decoded = self.vocabulary.decode(list(ended))
        splits = self.vocabulary.pre_tokenizer.pre_tokenize_str("a.")[-1][0] != "."
        return _STOPS.sub(r"\1", decoded) if splits else decoded

    def word(self, row: int) -> str:
        """A subword as a person writes it: "▁red" is "red", and a part within a word is "-angle"."""
        token = str(self.vocabulary.id_to_token(row))
        inner = token[:1].isalnum() and not token.startswith("▁")
        return f"-{token}" if inner else token.removeprefix("▁")

    def unknown(self, caption: str) -> list[str]:
        """Words of a caption with a letter that no training caption had; the model reads a blank in its place."""
        with no_panic():
            encoded = self.vocabulary.encode(whole_texts([caption])[0])
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
            with no_panic():
                self.vocabulary = _without_control(tokenizers.Tokenizer.from_str(bytes(state.cpu().numpy()).decode()))
        except Exception as error:  # the library raises no other class
            raise CheckpointError(f"the vocabulary of a saved model is damaged ({error}): save it again") from None


def _empty(*, speaks: bool = False, by_bytes: bool = False) -> tokenizers.Tokenizer:
    vocabulary = tokenizers.Tokenizer(models.BPE(unk_token=UNKNOWN, byte_fallback=by_bytes))
    vocabulary.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    # Words are marked where they begin: with a suffix where they end, the library numbers subwords at random.
    begins, decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    # What is written must read as it was: signs stand apart, but no blank before them that was not there.
    speaking, reading = [begins, pre_tokenizers.Punctuation()], [pre_tokenizers.Whitespace(), begins]
    vocabulary.pre_tokenizer = pre_tokenizers.Sequence(speaking if speaks else reading)
    vocabulary.decoder = decoders.Sequence([decoders.ByteFallback(), decoder]) if by_bytes else decoder
    return vocabulary


def _alphabet(vocabulary: tokenizers.Tokenizer, texts: Iterable[str]) -> set[str]:
    """The letters that texts are written in, and the sign that begins a word."""
    letters = {"▁"}
    for text in texts:
        letters.update(vocabulary.normalizer.normalize_str(text))
    return letters - {" "}


def _without_control(vocabulary: tokenizers.Tokenizer) -> tokenizers.Tokenizer:
    """The vocabulary, for which signs such as "[end]" and "<0x41>" are text where a person writes them, and bytes
    are no signs that a text goes without."""
    state = json.loads(vocabulary.to_str())
    control = [token for token in state["added_tokens"] if token["content"] not in BYTES]
    if len(control) < len(state["added_tokens"]):
        vocabulary = tokenizers.Tokenizer.from_str(json.dumps({**state, "added_tokens": control}))
    vocabulary.encode_special_tokens = True
    return vocabulary

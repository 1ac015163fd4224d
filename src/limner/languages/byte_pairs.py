"""CLIP's subwords: byte pairs of lower-cased words, each marked where it ends (CLIP, arXiv:2103.00020, Section 2.4;
byte-level pairs, Radford et al. 2019, Section 2.2).

    text -> cleaned -> words | numbers, digit by digit | signs -> bytes -> merged pair by pair
    ids: [start, ..., end, 0, 0, ...]

The vocabulary is a list of merges in order of rank, one "a b" a line after a first line that is not read: CLIP's own
``bpe_simple_vocab_16e6.txt.gz``, of which 48,894 lines count, or a ``merges.txt`` that was saved with other weights. No
such list ships with limner. Ids are the 256 bytes, the same at the end of a word, the merges, start, end. No id of its
own pads: 0 is also the byte "!".
"""

from __future__ import annotations

import gzip
import html
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tokenizers
import torch
from jaxtyping import Int
from tokenizers import AddedToken, Regex, models, pre_tokenizers
from torch import Tensor

from limner.errors import InputError
from limner.languages.spelling import whole_texts

START, END = "<start_of_text>", "<end_of_text>"
WORD_END = "</w>"
CLIP_MERGES = 48_894  # 49,408 ids without 2 x 256 bytes and the two special ones
PIECES = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


class BytePairs:
    """Captions to rows of CLIP's ids; a `limner.encoders.encoder.Vocabulary`.

    Args:
        merges: pairs in order of rank; raises `InputError` if one joins what is not there.
        length: ids of a caption; of a longer one the last is replaced by the end.
    """

    def __init__(self, merges: Sequence[tuple[str, str]], *, length: int = 77) -> None:
        self.length = length
        letters = sorted(pre_tokenizers.ByteLevel.alphabet())
        rows = [*letters, *(letter + WORD_END for letter in letters), *map("".join, merges), START, END]
        ids = {row: number for number, row in enumerate(rows)}
        if unknown := [part for pair in merges for part in pair if part not in ids]:
            raise InputError(f"a merge joins {unknown[0]!r}, which none before it makes: give CLIP's own list")
        self.size, self.start, self.end = len(rows), ids[START], ids[END]
        self.vocabulary = tokenizers.Tokenizer(
            models.BPE(ids, list(merges), continuing_subword_prefix="", end_of_word_suffix=WORD_END)
        )
        split = pre_tokenizers.Split(Regex(PIECES), behavior="removed", invert=True)
        as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        self.vocabulary.pre_tokenizer = pre_tokenizers.Sequence([split, as_bytes])
        self.vocabulary.add_special_tokens([AddedToken(special, normalized=True) for special in (START, END)])

    @classmethod
    def read(cls, path: Path, *, merges: int = CLIP_MERGES, length: int = 77) -> BytePairs:
        """The vocabulary of a file, plain or gzipped; raises `InputError` if it holds no such list."""
        try:
            raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            lines = raw.decode("utf-8").split("\n")[1 : merges + 1]
        except (OSError, EOFError, UnicodeDecodeError) as error:
            raise InputError(f"{path} cannot be read as a list of merges ({error}): give CLIP's own") from None
        pairs = [tuple(line.split()) for line in lines if line]
        if not pairs or any(len(pair) != 2 for pair in pairs):
            raise InputError(f"{path} is no list of merges, two subwords a line: give CLIP's own")
        return cls([(first, second) for first, second in pairs], length=length)

    def encode(self, captions: Sequence[str]) -> Int[Tensor, "b k"]:
        """Ids ``[b, length]``."""
        rows = np.zeros((len(captions), self.length), dtype=np.int64)
        for row, encoded in zip(
            rows, self.vocabulary.encode_batch([clean(text) for text in whole_texts(captions)]), strict=True
        ):
            ids = [self.start, *encoded.ids[: self.length - 2], self.end]
            row[: len(ids)] = ids
        return torch.from_numpy(rows)


def clean(text: str) -> str:
    """Text as CLIP reads it: entities resolved, typography made plain, blanks collapsed, lower case.

    The authors call ``ftfy.fix_text`` first. This does what that does to sound text (quotes, ligatures, wide letters,
    control characters, NFC); text that was decoded by a wrong encoding it leaves as it is.
    """
    if "<" not in text:  # where there may be markup, ftfy leaves entities alone
        text = html.unescape(text)
    text = _COMPATIBLE.sub(lambda match: unicodedata.normalize("NFKC", match[0]), text)
    text = unicodedata.normalize("NFC", _CONTROL.sub("", text.translate(_QUOTES)))
    return " ".join(html.unescape(html.unescape(text)).split()).lower()


_QUOTES = {**dict.fromkeys((0x2BC, *range(0x2018, 0x201C)), "'"), **dict.fromkeys(range(0x201C, 0x2020), '"')}
_COMPATIBLE = re.compile("[\u0132\u0133\u0149\u01c4-\u01cc\u01f1-\u01f3\ufb00-\ufb06\u3000\uff01-\uffef]")
_CONTROL = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f\u206a-\u206f\ufeff\ufff9-\ufffc]")

"""The subwords of a language model that others trained, from its folder; nothing is downloaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from limner.errors import InputError
from limner.languages.spelling import no_panic, whole_texts
from limner.nn import pretrained_folder

QUESTION = "{}"  # what stands for the question in a prompt
PROMPT = "{}\n"
BEGINS = ("\u2581", "\u0120")  # how SentencePiece and byte-level pairs mark where a word begins


class PretrainedSubwords:
    """A `limner.unified.conversation.TextVocabulary`.

    Args:
        tokenizer: of `transformers`.
        prompt: how a question stands before the model, ``{}`` being the question. A base model needs no more than a new
            line; a chat model has roles, such as ``"<|im_start|>user\\n{}<|im_end|>\\n<|im_start|>assistant\\n"``.
    """

    def __init__(self, tokenizer: Any, *, prompt: str = PROMPT) -> None:
        if QUESTION not in prompt:
            raise InputError(f"the prompt {prompt!r} has no place for the question: put {QUESTION} where it goes")
        if tokenizer.eos_token_id is None:
            raise InputError("this tokenizer has no sign for the end: name an eos_token in tokenizer_config.json")
        self.tokenizer, self.prompt = tokenizer, prompt
        self._control = tuple(tokenizer.all_special_tokens)

    @classmethod
    def read(cls, folder: Path, *, prompt: str = PROMPT) -> PretrainedSubwords:
        """The tokenizer of a folder; raises `InputError` if there is none."""
        return cls(pretrained_folder.tokenizer(folder), prompt=prompt)

    def end(self) -> int:
        """Id of the sign that ends a text."""
        return int(self.tokenizer.eos_token_id)

    def __len__(self) -> int:
        """Subwords there are; a table may have more rows than that."""
        return len(self.tokenizer)

    def ids(self, text: str) -> list[int]:
        """Subwords of a text. Control signs that a person wrote, such as "</s>", are text and have no effect."""
        return self._ids(text, plain=self._has_control(text))

    def prompt_ids(self, question: str) -> list[int]:
        """Subwords of a question, as the prompt puts it; only the prompt's own control signs have an effect."""
        if not self._has_control(question):
            return self._ids(self.prompt.replace(QUESTION, question), plain=False)
        before, _, after = self.prompt.partition(QUESTION)
        parts = (self._ids(before, plain=False), self._ids(question, plain=True), self._ids(after, plain=False))
        return [row for part in parts for row in part]

    def _ids(self, text: str, *, plain: bool) -> list[int]:
        """``plain``: control signs are read as text."""
        if not text:
            return []
        with no_panic():
            (sound,) = whole_texts([text])
            return list(self.tokenizer.encode(sound, add_special_tokens=False, split_special_tokens=plain))

    def _has_control(self, text: str) -> bool:
        return any(sign in text for sign in self._control)

    def text(self, ids: Sequence[int]) -> str:
        """The text of subwords, up to the sign for the end."""
        ended = ids[: list(ids).index(self.end())] if self.end() in ids else ids
        with no_panic():
            return str(self.tokenizer.decode(list(ended), skip_special_tokens=True)).strip()

    def word(self, row: int) -> str:
        """A subword as a person writes it: " red" is "red", and a part within a word is "-angle"."""
        if row >= len(self):
            return f"[{row}]"  # tables are padded to a round number of rows
        token, text = str(self.tokenizer.convert_ids_to_tokens(row)), str(self.tokenizer.decode([row])).strip()
        return text if token.startswith(BEGINS) or row in self.tokenizer.all_special_ids else f"-{text}"

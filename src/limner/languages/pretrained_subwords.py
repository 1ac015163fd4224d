"""The subwords of a language model that others trained, from its folder; nothing is downloaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from limner.errors import InputError
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
        """Subwords of a text."""
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def prompt_ids(self, question: str) -> list[int]:
        """Subwords of a question, as the prompt puts it."""
        return self.ids(self.prompt.replace(QUESTION, question))

    def text(self, ids: Sequence[int]) -> str:
        """The text of subwords, up to the sign for the end."""
        ended = ids[: list(ids).index(self.end())] if self.end() in ids else ids
        return str(self.tokenizer.decode(list(ended), skip_special_tokens=True)).strip()

    def word(self, row: int) -> str:
        """A subword as a person writes it: " red" is "red", and a part within a word is "-angle"."""
        if row >= len(self):
            return f"[{row}]"  # tables are padded to a round number of rows
        token, text = str(self.tokenizer.convert_ids_to_tokens(row)), str(self.tokenizer.decode([row])).strip()
        return text if token.startswith(BEGINS) or row in self.tokenizer.all_special_ids else f"-{text}"

"""A vocabulary of one's own: texts come back as people write them."""

from __future__ import annotations

from limner.languages.subwords import Subwords


def test_a_text_comes_back_as_it_was_written() -> None:
    texts = ["a red heart, a blue star and a ring", "what is it? a ring.", "one; two: three!"]
    words = Subwords.trained(texts * 5, size=120, length=8, speaks=True)
    assert [words.text(words.ids(text)) for text in texts] == texts
    assert words.text([*words.ids("a ring"), words.end(), *words.ids("a star")]) == "a ring"

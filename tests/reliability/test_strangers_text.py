"""What `limner data check` lets through is learned, and what is learned decodes to the text."""

from __future__ import annotations

import json
import random
import unicodedata

import pytest
from PIL import Image

from limner.data.conversation_file import ConversationFile, Reshuffled
from limner.data.conversations import Turn
from limner.data.folder import Folder
from limner.data.inspect import build, check
from limner.data.lines import read_lines, write_rows
from limner.data.question_sets import read_questions
from limner.errors import InputError
from limner.languages.pretrained_subwords import PretrainedSubwords
from limner.languages.subwords import Subwords
from limner.lessons.conversations import vocabulary
from limner.unified.conversation import pack

ALPHABETS = (
    "abcdefghij klmnop",
    "äöüßçñéœ ¿¡",
    "".join(map(chr, range(0x4E00, 0x5400))),
    "".join(map(chr, range(0xAC00, 0xAE00))) + " ",
    "".join(map(chr, range(0x1F600, 0x1F640))) + "❤️🇩🇪👩‍🚀 ",
    "ابتث ",
    "\u2028\u2029\x85\t\u00a0 x",
    ".,;:!?'\"()[]{}<>/\\|@#$%^&*-_=+~` ",
    "０１２ＡＢＣﬁ ",
)
CONTROL = ("[end]", "[pad]", "[unknown]", "</s>", "<s>", "<|im_end|>", "<image>", "<0x41>", "<think>", "{}", "\\n")


def text_of(rng: random.Random) -> str:
    """A text that someone may have written."""
    parts = []
    for _ in range(rng.randint(1, 4)):
        alphabet = rng.choice(ALPHABETS)
        parts.append(rng.choice(CONTROL) if rng.random() < 0.2 else "".join(rng.choices(alphabet, k=rng.randint(1, 8))))
    return rng.choice(("", " ")).join(parts)


def plain(text: str) -> str:
    """As the small vocabulary reads: Unicode's form NFKC, in lower case."""
    return unicodedata.normalize("NFKC", text).lower()


@pytest.mark.parametrize("size", [512, 1536])
def test_what_is_learned_decodes_to_the_text(size, trials, record):
    """Any texts, more letters than subwords: ids have rows in the table, and targets read back."""
    tried, wrong = trials(15, 1_000), []
    for seed in range(tried):
        rng = random.Random(seed)
        texts = [text for _ in range(rng.choice((5, 200))) if (text := text_of(rng).replace("▁", "_").strip())]
        words = Subwords.trained(texts, size=size, length=10_000, speaks=True)
        ids = [words.ids(text) for text in texts]
        wrong += [
            text
            for text, row in zip(texts, ids, strict=True)
            if words.text([*row, words.end()]) != plain(text) or words.end() in row or max(row) >= size
        ]
    assert not wrong, [ascii(text) for text in wrong[:3]]
    record("vocabularies: texts of any letters are decoded as they were", tried, tried)


def test_chinese_captions_have_rows_in_the_table():
    captions = ["".join(chr(0x4E00 + i + j) for j in range(6)) for i in range(0, 3000, 6)]
    for size in (512, 1536):
        words = Subwords.trained(captions, size=size, length=64)
        assert len(words) <= size
        assert max(max(words.ids(caption)) for caption in captions) < size
        assert [words.vocabulary.decode(words.ids(caption)) for caption in captions] == captions
        assert words.unknown(captions[0]) == []
    with pytest.raises(
        InputError, match=r"written in 3001 letters, for which 200 subwords have no room: train with --voc"
    ):
        Subwords.trained(captions, size=200, length=64)


def test_a_saved_vocabulary_takes_control_signs_for_text():
    words = Subwords.trained(["write [end] to end", *ALPHABETS[2]], size=512, length=64, speaks=True)
    again = Subwords(64)
    again.set_extra_state(words.get_extra_state())
    for text in ("write [end] to end", "[pad]", ALPHABETS[2][-3:]):
        assert again.ids(text) == words.ids(text)
        assert words.end() not in again.ids(text)
        assert again.text(again.ids(text)) == text


def test_every_row_of_a_file_is_in_the_vocabulary(tmp_path):
    """Also rows past those that an endless world is read to."""
    rows = [{"conversations": [{"from": "human", "value": "?"}, {"from": "gpt", "value": "no"}]}] * 1_200
    rows.append({"conversations": [{"from": "human", "value": "是什么"}, {"from": "gpt", "value": "红心 🐱"}]})
    (tmp_path / "a.json").write_text(json.dumps(rows))
    source = Reshuffled(ConversationFile.read(tmp_path / "a.json", None, 8), 0)
    words = vocabulary([source], 512, None)
    packed = pack([[Turn("是什么", "红心 🐱")]], words, 0)
    assert words.text([row for row in packed.targets[0].tolist() if row >= 0]) == "红心 🐱"


def speaking() -> PretrainedSubwords:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    learned = Tokenizer(models.BPE(unk_token="<unk>"))
    learned.pre_tokenizer, learned.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    signs = ["<unk>", "<s>", "</s>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(vocab_size=200, special_tokens=signs, show_progress=False)
    learned.train_from_iterator(["write < / s > im _ end | red green blue what to mark the end now"] * 5, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=learned,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=["<|im_end|>"],
    )
    return PretrainedSubwords(fast, prompt="{}<|im_end|>")


def test_control_signs_that_people_write_end_no_answer():
    words = speaking()
    targets = pack([[Turn("what", "write </s> to end")]], words, 1).targets[0].tolist()
    assert targets.count(words.end()) == 1
    assert words.text([row for row in targets if row >= 0]) == "write </s> to end"
    assert words.prompt_ids("what <|im_end|> now").count(3) == 1  # that of the prompt
    assert words.prompt_ids("what now") == words.tokenizer.encode("what now<|im_end|>", add_special_tokens=False)


@pytest.mark.parametrize("sign", ["\u2028", "\u2029", "\x85", "\x0b", "\x1c"])
def test_lines_end_at_line_feeds_alone(tmp_path, sign):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    row = json.dumps({"file_name": "a.png", "text": f"one{sign}two"}, ensure_ascii=False)
    (tmp_path / "metadata.jsonl").write_text(row + "\n", encoding="utf-8")
    assert Folder(tmp_path, None)[0].caption == "one two"
    assert check(tmp_path).captioned == 1
    (tmp_path / "q.jsonl").write_text(json.dumps({"question": f"a{sign}b", "answer": "c"}, ensure_ascii=False))
    assert read_questions(tmp_path / "q.jsonl")[0].question == f"a{sign}b"


def test_what_is_written_is_one_line_for_every_reader(tmp_path):
    rows = [{"text": f"one{sign}two"} for sign in ("\u2028", "\u2029", "\x85", "é", "红")]
    write_rows(tmp_path / "rows.jsonl", rows)
    text = (tmp_path / "rows.jsonl").read_text(encoding="utf-8")
    assert len(text.splitlines()) == len(rows)
    assert "红" in text
    assert [line.row for line in read_lines(tmp_path / "rows.jsonl")] == rows
    write_rows(tmp_path / "rows.jsonl", [{"text": "\ud83d"}])  # does not end the writer
    (line,) = read_lines(tmp_path / "rows.jsonl")
    assert line.row is None
    assert "half a character" in line.problem


def test_worlds_are_built_so_that_they_can_be_read(tmp_path):
    build("emoji", tmp_path / "emoji", 5)
    report = check(tmp_path / "emoji")
    assert (report.pictures, report.broken) == (5, 0)

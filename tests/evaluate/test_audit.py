"""The audit of models whose knowledge is known, because it is a list."""

from __future__ import annotations

import json
from itertools import product
from random import Random

import pytest

from limner.data.question_sets import FLAGS, Item, Trial
from limner.errors import InputError
from limner.evaluate.asking import ask, read_first_letter
from limner.evaluate.audit import audit, audit_report, retrieval
from limner.evaluate.audit_page import notes, plot, write_page
from limner.evaluate.extraction import read_option
from limner.evaluate.flags import Opinion, coin_tail, contradicted, known, luck_of, opinions

COLOURS = ("red", "green", "blue", "pink", "cyan", "black")
TRUTH = {"natural": [], "text": ["text"], "question": ["text", "question"], "leaked": ["leaked"]}


def questions(options: int, natural: int = 120, planted: int = 30) -> list[Item]:
    rng, items = Random(options), []
    for kind in ["natural"] * natural + ["text", "question", "leaked"] * planted:
        shown = tuple(rng.sample(COLOURS, options))
        right, id = rng.choice(shown), str(len(items))
        stem = f"What colour is the {right} thing {id}?" if kind == "question" else f"What colour is thing {id}?"
        items.append(Item(id, stem, (right,), shown, None, f"kind {len(items) % 2}", frozenset(TRUTH[kind])))
    return items


def model(items: list[Item], knows: tuple[str, ...], *, seed: int, sure: float = 0.97, habit: str = ""):
    """Right with probability ``sure`` where one of ``knows`` was planted; otherwise guesses, or says ``habit``."""
    rng, asked = Random(seed), {item.question: item for item in items}

    def answer(image: object, question: str) -> str:
        stem, *lines = question.split("\n")
        shown = [line.partition(". ")[2] for line in lines]
        item = asked[stem]
        right = set(knows) & set(item.planted or ()) or "everything" in knows
        response = item.answers[0] if right and rng.random() < sure else habit if habit in shown else rng.choice(shown)
        return f"({'ABCDEF'[shown.index(response)]}) {response}"

    return answer


def asked(items: list[Item], *knows: str, seed: int = 0, shuffles: int = 16, habit: str = ""):
    answer = model(items, knows, seed=seed, habit=habit)
    return ask(items, answer, with_image=False, shuffles=shuffles, instruct=False)


@pytest.mark.parametrize("options", [2, 4])
def test_planted_questions_are_found(options):
    items = questions(options)
    seeing, blind, base = asked(items, "everything"), asked(items, *FLAGS, seed=1), asked(items, "text", seed=2)
    result = audit(items, seeing, blind, [base])
    assert set(result.found) == set(FLAGS)
    for precision, recall in result.found.values():
        assert precision >= 0.9
        assert recall >= 0.9
    needless, chance = 90 / 210, 1 / options
    assert result.total.with_image.mean == pytest.approx(0.97 + 0.03 * chance, abs=0.02)
    assert result.total.without_image.mean == pytest.approx(needless + (1 - needless) * chance, abs=0.04)
    for name, over in (("gain", 120 / 210), ("leakage", 30 / 210)):
        interval = getattr(result.total, name)
        assert interval.low < interval.mean < interval.high
        assert interval.mean == pytest.approx(over * (1 - chance), abs=0.05)


def test_a_model_that_guesses_is_not_said_to_know():
    items = questions(4)
    guesses = [asked(items, seed=seed) for seed in range(3)]
    result = audit(items, *guesses[:2], guesses[2:])
    assert sum(verdict.text and not verdict.question for verdict in result.verdicts) <= 2
    assert result.total.flagged["leaked"] <= 2
    assert abs(result.total.gain.mean) < 0.03
    assert result.total.leakage.low == 0.0


def test_a_habit_that_happens_to_be_right_is_not_knowledge():
    items = questions(2, natural=300, planted=0)
    trials = asked(items, habit="red")
    held = opinions(items, {item.id: [item.options.index("red")] * 16 for item in items if "red" in item.options}
                    | {item.id: [0, 1] * 8 for item in items if "red" not in item.options})  # fmt: skip
    ids, luck = known(items, held, set())
    assert sum(one.settled and one.right for one in held.values()) > 30
    assert min(luck.values()) > 0.6
    assert not ids
    result = audit(items, trials, trials, [trials])
    assert result.total.flagged == {"text": 0, "question": 0, "leaked": 0}
    assert "kind 0" in " ".join(notes(result))


def test_more_trials_do_not_make_a_mild_preference_knowledge():
    items = questions(4, natural=200, planted=0)
    for trials in (8, 32, 128):
        rng = Random(trials)
        held = opinions(items, {item.id: rng.choices(range(4), [3, 2, 1, 1], k=trials) for item in items})
        assert sum(one.settled for one in held.values()) <= 4


def test_leakage_is_never_negative_and_the_base_comes_first():
    items = questions(4)
    knowing, guessing = asked(items, "text", seed=1), asked(items, seed=2)
    result = audit(items, knowing, guessing, [knowing, guessing])
    assert result.total.leakage == (0.0, 0.0, 0.0)
    helped = audit(items, knowing, guessing, [guessing, knowing])
    assert helped.total.base.mean == result.total.without_image.mean
    assert helped.found["text"] == result.found["text"]  # any language model may know it
    assert helped.total.flagged["leaked"] == 0


def test_what_the_base_knows_is_not_leaked():
    items = questions(4)
    both = asked(items, "text", "leaked", seed=1)
    assert audit(items, both, both, [both]).total.flagged["leaked"] == 0


@pytest.mark.parametrize(("hits", "trials"), [(0, 4), (3, 4), (4, 4), (5, 9)])
def test_the_tail_of_a_coin_is_exact(hits, trials):
    assert coin_tail(hits, trials) == sum(sum(toss) >= hits for toss in product((0, 1), repeat=trials)) / 2**trials


@pytest.mark.parametrize(
    ("picks", "opinion"),
    [
        ([1] * 8, (True, True)),
        ([1] * 7 + [0], (True, False)),
        ([0] * 8, (False, True)),
        ([1] * 3, (True, True)),  # too few to tell: all agree
        ([1, 1, 0], (True, False)),
        ([1] * 14 + [0, None], (True, True)),
        ([1] * 13 + [0, 2, 3], (True, False)),
        ([None] * 9, (False, False)),
    ],
)
def test_an_opinion_is_settled_when_a_coin_would_hardly_fall_so(picks, opinion):
    item = Item("1", "What colour?", ("blue",), ("red", "blue", "pink", "cyan"))
    assert opinions([item], {"1": picks}) == {"1": opinion}


def test_luck_is_what_a_habit_explains():
    assert luck_of(25, 75, 4, 0.75) == 1.0
    assert luck_of(0, 5, 4, 1.0) == 1.0
    assert luck_of(90, 30, 4, 0.25) == pytest.approx(1 / 9, abs=0.001)
    assert luck_of(1, 0, 4, 0.5) == pytest.approx(1 / 9)  # one right answer proves little
    assert luck_of(50, 0, 2, 0.0) == 0.0


def test_the_same_words_with_another_answer_cannot_be_known():
    items = [
        Item("1", "What colour is it?", ("red",), ("red", "blue")),
        Item("2", "What colour is it?", ("blue",), ("blue", "red")),
        Item("3", "What colour is it?", ("blue",), ("blue", "pink")),
        Item("4", "What shape is it?", ("a ring",)),
        Item("5", "what shape is it", ("ring",)),
    ]
    assert contradicted(items) == {"1", "2"}
    sure = dict.fromkeys(("1", "2", "3", "4", "5"), Opinion(right=True, settled=True))
    assert known(items, sure, set())[0] == {"3", "4", "5"}
    assert known(items, sure, {"3"})[0] == {"4", "5"}


def test_open_questions_are_audited():
    items = [
        Item(str(i), f"How many legs has the {chr(97 + i)}-animal?", (("two", "four", "six")[i % 3],), category="legs")
        for i in range(24)
    ]
    right = [Trial(item.id, item.answers[0]) for item in items]
    result = audit(items, right, [Trial(item.id, "two") for item in items], [right])
    assert result.total.gain.mean == pytest.approx(2 / 3)
    assert result.total.flagged == {"text": 24, "question": 0, "leaked": 0}
    assert result.first_letter == {}


def test_the_first_letter_rule_can_be_used():
    items = questions(4, natural=4, planted=1)
    response = [Trial(item.id, f"It is {item.answers[0]}") for item in items]
    meant, official = (
        audit(items, response, response, [response], read=read) for read in (read_option, read_first_letter)
    )
    assert (meant.total.with_image.mean, meant.unread["base"]) == (1.0, 0.0)
    assert (official.total.with_image.mean, official.unread["base"]) == (0.0, 1.0)
    assert meant.first_letter == official.first_letter == dict.fromkeys(("with_image", "without_image", "base"), 0.0)


def test_precision_and_recall_are_counted_where_the_truth_is_known():
    items = questions(4, natural=2, planted=2)
    result = audit(items, *[asked(items, seed=seed) for seed in (0, 1)], [asked(items, seed=2)])
    verdicts = [
        type(verdict)(**{**vars(verdict), "text": place in (0, 2), "planted": verdict.planted if place else None})
        for place, verdict in enumerate(result.verdicts)
    ]
    assert retrieval(verdicts)["text"] == (
        1.0,
        1 / 4,
    )  # of the planted four one is found; the unknown one is not counted


def test_the_report_is_json_and_carries_its_protocol(tmp_path):
    from limner.evaluate.report import read_scores

    items = questions(4)
    result = audit(items, asked(items, "everything"), asked(items, seed=1), [asked(items, seed=2)])
    report = audit_report(result, items, model="m", reference="q.jsonl", reader="meant")
    file = tmp_path / "report.json"
    file.write_text(json.dumps(report))
    assert read_scores(file)["audit/gain"].value == pytest.approx(result.total.gain.mean, abs=1e-6)
    assert len(report["questions"]) == len(items)
    assert set(report["questions"][0]) == {"id", "category", "with_image", "without_image", "base", *FLAGS}
    other = audit_report(result, items[1:], model="m", reference="q.jsonl", reader="meant")
    assert other["protocol"]["hash"] != report["protocol"]["hash"]


def test_pages_show_the_scores(tmp_path):
    items = questions(4)
    items[0] = Item("0", "<b>|What colour?", items[0].answers, items[0].options, None, "a & b", frozenset({"text"}))
    result = audit(items, asked(items, "everything"), asked(items, *FLAGS, seed=1), [asked(items, "text", seed=2)])
    (page,) = write_page(tmp_path / "new" / "page.html", result, items, title="A <model>")
    text = page.read_text()
    assert "<h1>A &lt;model&gt;</h1>" in text
    assert "a &amp; b" in text
    assert "<b>" not in text.replace("<body>", "")
    assert text.count("<circle") == 3 + 3 * 4
    markdown, drawing = write_page(tmp_path / "page.md", result, items, title="A model")
    assert drawing.read_text() == plot(result)
    assert f"({drawing.name})" in markdown.read_text()
    widths = {
        line.count("|") - 2 * line.count("\\|") for line in markdown.read_text().splitlines() if line.startswith("| a")
    }
    assert widths == {12}


def test_a_page_with_another_ending_or_no_place_is_refused(tmp_path):
    items = questions(4, natural=2, planted=0)
    result = audit(items, asked(items), asked(items), [asked(items)])
    with pytest.raises(InputError, match=r"end it with \.html or \.md"):
        write_page(tmp_path / "page.pdf", result, items, title="")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        write_page(tmp_path / "file" / "page.html", result, items, title="")

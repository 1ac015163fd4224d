"""Which option was chosen, from all that an answer says about options.

Every mention of options is a claim of some weight, read from the words right before and right after it:

    6  marked          \\boxed{B}, <answer>B</answer>
    5  declared        "the answer is B", "I choose B", "B is right", "so B", or B alone in the last line
    4  leading         B at the beginning, before its explanation, or alone
    3  given           "it is B"
    2  mentioned       anything else
    1  doubted         "some would say B", "if it were round, B"
    0  denied          "not B", "B is wrong", "rather than B"

The heaviest decide. Several options in one claim are no choice; neither are different claims of one weight, unless the
later one takes the earlier back ("but", "wait", "so"). To name all options is to claim nothing. A list of them, copied
from the question, says nothing either, but "A: no, B: yes" behind its entries does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from limner.evaluate import answer_words
from limner.evaluate.masking import ITEM, MARK, items
from limner.evaluate.phrases import UNSPACED

_EDGE = "(?<![a-z\u00c0-\u024f\u0400-\u04ff'])"
_LEFT = 120  # characters before a mention that are read
_GAP = r"[\s:=\-–—→>\"'’«»(\[{,/\\]*"
_FILLS = rf"(?:{_GAP}{_EDGE}{answer_words.FILL}(?![a-z\u00c0-\u024f]))*{_GAP}$"
_FILLS_IS = rf"(?:{_GAP}{_EDGE}(?:{answer_words.FILL}|{answer_words.IS})(?![a-z\u00c0-\u024f]))*{_GAP}$"
_MARKED = re.compile(rf"{MARK}{_FILLS_IS}")
_DECLARED = re.compile(
    rf"{_EDGE}{answer_words.ANSWER}(?:[^.;!?\n]{{0,80}}?{_EDGE}{answer_words.IS}(?![a-z\u00c0-\u024f])|\W{{0,3}})?{_FILLS}"
    rf"|{_EDGE}{answer_words.CHOOSE}(?![a-z\u00c0-\u024f]){_FILLS}"
    rf"|{_EDGE}{answer_words.THUS}(?![a-z\u00c0-\u024f]){_FILLS_IS}"
)
_GIVEN = re.compile(rf"(?:{_EDGE}{answer_words.IS}(?![a-z\u00c0-\u024f])|[:—→]){_FILLS}")
_DENIED = re.compile(
    rf"{answer_words.NOT}(?![a-z])(?:\s+[\w'’]+){{0,3}}?{_FILLS_IS}|{_EDGE}{answer_words.WRONG}(?![a-z]){_FILLS_IS}"
)
_EXCEPT = re.compile(
    r"\b(?:all|every\w*|none|nothing|no other\w*|others?|alle|keine\w*|tod[oa]s|ningun[oa]|tous|aucun\w*)\b.*"
    r"(?:except|but|other than|besides|apart from|außer|excepto|salvo|sauf)\s+(?:for\s+)?(?:option\s+)?$|除了?$"
)
_RIGHT, _WRONG = re.compile(answer_words.AFTER_RIGHT), re.compile(answer_words.AFTER_WRONG)
_VERDICT = re.compile(
    rf"{_EDGE}(?P<wrong>{answer_words.WRONG}|{answer_words.NOT})|{_EDGE}(?P<right>{answer_words.RIGHT})(?![a-z])"
)
_DOUBT, _TURN = re.compile(answer_words.DOUBT), re.compile(answer_words.TURN)
_CUT = re.compile(
    rf"[,:;()—]|{answer_words.CONTRAST}|{_EDGE}(?:so|thus|hence|therefore|because|since|weil|denn|porque|donc|also)\b|因为|所以"
)
_SENTENCE = re.compile(rf"(?:[!?。;\n]|\.(?=\s|$|[{UNSPACED}\ue000-\ue3ff]|[\"')\]]))+\s*")
_JOIN = (
    rf"(?:\s|[,/&|+、~–—()\[\]\"'\ue000-]|(?<![a-z]){answer_words.AND}(?![a-z])"
    r"|(?<![a-z])(?:option|options|choice|the|an?|选项)(?![a-z]))*"
)
_GROUP = re.compile(rf"{ITEM}\ue000?(?:{_JOIN}{ITEM}\ue000?)*")
_VERB = re.compile(
    r"\s+(?:has|is|was|shows|does|lacks|looks|fits|matches|seems|would|depicts|ist|hat|es|tiene|est|a)\b"
)
_ALTERNATIVES = re.compile(rf"(?<![a-z]){answer_words.AND}(?![a-z])|[/&|+]")
_BEGINS = re.compile(
    rf"^(?:\W|{_EDGE}(?:{answer_words.FILL}|{answer_words.IS}|{answer_words.THUS}|i|i'm|going|sure|ok|okay|well|hmm|yes|looks|图中|这|這|它|これ|それ|この|그|이것|c'|ce|esto|eso|dies|das)(?![a-z\u00c0-\u024f]))*$"
)
_ENDS = re.compile(
    rf"^\s*(?:$|[.,:;!)\]}}\-–—(]|[。、]|[{UNSPACED}]|(?:because|since|as|for|rather|not|over|instead|considering|given|based|due|by|weil|da|denn|porque|ya|parce|car|puisque|perché)\b)"
)


MARKED, DECLARED, LEADING, GIVEN, MENTIONED, DOUBTED, DENIED = range(6, -1, -1)


class Passage(NamedTuple):
    """Options mentioned together: which, whether by letter, the text since those before, and what stands before and
    after them in their sentence."""

    options: frozenset[int]
    by_letter: bool
    since: str
    before: str
    after: str
    question: bool
    first: bool
    alone: bool


class OptionClaim(NamedTuple):
    """What a passage says: options, weight (0: denied), and whether it takes back what was said before."""

    options: frozenset[int]
    weight: int
    turn: bool
    by_letter: bool


def chosen(masked: str, count: int) -> int | None:
    """The option that a masked answer chooses among ``count``, or None."""
    text = re.sub(rf"((?:{answer_words.ANSWER}|:)\W{{0,2}})\s*\n\s*", r"\1 ", masked)
    text, judged = _without_lists(text, count)
    found = list(_passages(text))
    claims = [*judged, *_last_alone([_claim(one) for one in found], found)]
    if any(len(claim.options) == count > 1 and claim.weight == MARKED for claim in claims):
        return None
    claims = [claim for claim in claims if len(claim.options) < max(count, 2)]
    for weight in (MARKED, DECLARED, LEADING, GIVEN):
        heaviest = [claim for claim in claims if claim.weight == weight]
        if heaviest:
            return _agreed(heaviest, count)
    return _mentioned(claims, count)


def _passages(text: str) -> Iterator[Passage]:
    """All groups of options, sentence by sentence."""
    start, sentences, last = 0, 0, 0
    for match in [*_SENTENCE.finditer(text), None]:
        sentence = text[start : match.start() if match else len(text)]
        question = bool(match and "?" in match.group())
        if match and question:  # "B? Yes." answers itself
            sentence += " " + re.split(r"[.!?。\n]", text[match.end() : match.end() + 24])[0]
        groups = [part for group in _GROUP.finditer(sentence) for part in _parts(group, sentence[group.end() :])]
        for number, (begin, end) in enumerate(groups):
            left = groups[number - 1][1] if number else 0
            right = groups[number + 1][0] if number + 1 < len(groups) else len(sentence)
            before, after = sentence[left:begin], sentence[end:right]
            alone = len(groups) == 1 and bool(_BEGINS.match(before)) and not after.strip(" .,:;!)]}'\"")
            options, by_letter = _options(sentence[begin:end])
            first = not sentences and not number
            yield Passage(options, by_letter, text[last : start + begin], before, after, question, first, alone)
            last = start + end
        sentences += bool(sentence.strip(f" {MARK}\n.,:;!()[]"))
        start = match.end() if match else len(text)


def _parts(group: re.Match[str], after: str) -> Iterator[tuple[int, int]]:
    """A group, cut where a letter stands a second time ("of A and B, B"), or begins a sentence ("A, B has lobes")."""
    begin, stop, letters, there = group.start(), group.start(), set[int](), items(group.group())
    for at, place, by_letter in there:
        begins = (
            at == there[-1][0] and letters and _VERB.match(after) and "," in group.string[stop : group.start() + at]
        )
        if by_letter and (place in letters or begins):
            yield begin, stop
            begin, letters = group.start() + at, set()
        letters |= {place} if by_letter else set()
        stop = group.start() + at + 1
    yield begin, group.end()


def _options(group: str) -> tuple[frozenset[int], bool]:
    """The options of a group; a letter before or behind words that are another option's outweighs them."""
    there = items(group)
    letters = frozenset(place for _, place, by_letter in there if by_letter)
    if len(letters) == 1 and not _ALTERNATIVES.search(group):
        return letters, True
    return frozenset(place for _, place, _ in there), bool(letters)


def _claim(one: Passage) -> OptionClaim:
    before = one.before[-_LEFT:]
    clause = before[max((match.end() for match in _CUT.finditer(before)), default=0) :]
    turn = bool(_TURN.search(one.since))
    made = OptionClaim(one.options, MENTIONED, turn, one.by_letter)
    wrong, right = _WRONG.search(one.after), _RIGHT.search(one.after)
    if _MARKED.search(before):
        return made._replace(weight=MARKED)
    if wrong and _EXCEPT.search(one.before):
        return made._replace(weight=DECLARED)
    if _DENIED.search(clause) or wrong:
        return made._replace(weight=DENIED)
    if one.question and not right:
        return made._replace(options=frozenset())
    if _DOUBT.search(clause + " " + one.after[:30]) or _DOUBT.search(before.rpartition(".")[2]):
        return made._replace(weight=DOUBTED)
    if right or _DECLARED.search(before):
        return made._replace(weight=DECLARED)
    if one.alone or (one.first and _BEGINS.match(one.before) and _ENDS.match(one.after)):
        return made._replace(weight=LEADING)
    return made._replace(weight=GIVEN) if _GIVEN.search(before) and not one.after.strip(" .,!)") else made


def _last_alone(claims: Sequence[OptionClaim], found: Sequence[Passage]) -> Iterator[OptionClaim]:
    """An option alone in the last sentence, after others that were not alone, is the answer to which they lead."""
    for number, (claim, one) in enumerate(zip(claims, found, strict=True)):
        leads = number == len(found) - 1 and one.alone and not one.first and claim.weight == LEADING
        leads = leads and not any(other.alone for other in found[:-1])
        yield claim._replace(weight=DECLARED, turn=True) if leads else claim


def _agreed(claims: Sequence[OptionClaim], count: int) -> int | None:
    """The option of claims of one weight: of several the last, if it takes the others back."""
    named = [claim.options for claim in claims]
    every = frozenset().union(*named)
    if len(named[-1]) != 1 or (len(every) == count and count > 2 and len(set(named)) == count):
        return None
    differs = next((i for i in range(len(named) - 1, -1, -1) if named[i] != named[-1]), None)
    if differs is not None and not any(claim.turn for claim in claims[differs + 1 :]):
        return None
    return next(iter(named[-1]))


def _mentioned(claims: Sequence[OptionClaim], count: int) -> int | None:
    """The only option that is mentioned and not denied, letters before words; or the only one that is not denied."""
    denied = frozenset(place for claim in claims if claim.weight == DENIED for place in claim.options)
    for weight, by_letter in ((MENTIONED, True), (MENTIONED, False), (DOUBTED, True), (DOUBTED, False)):
        rows = [claim.options for claim in claims if claim.weight == weight and claim.by_letter == by_letter]
        if left := frozenset[int]().union(*rows) - denied:
            return next(iter(left)) if len(left) == 1 else None
    left = frozenset(range(count)) - denied
    return next(iter(left)) if len(left) == 1 and denied else None


def _without_lists(text: str, count: int) -> tuple[str, list[OptionClaim]]:
    """The text without copies of the list of options, and what was said behind their entries, if that is a choice."""
    judged: list[OptionClaim] = []
    while (run := _list_of(text, count)) is not None:
        line_end = text.find("\n", run[-1])
        stops = [*run[1:], len(text) if line_end < 0 else line_end]
        verdicts = [_verdict(text[at + 1 : stop]) for at, stop in zip(run, stops, strict=True)]
        if verdicts.count(True) == 1:
            judged.append(OptionClaim(frozenset([verdicts.index(True)]), DECLARED, False, True))
        elif verdicts.count(False) == count - 1 and count > 2:
            judged.append(OptionClaim(frozenset([verdicts.index(None)]), DECLARED, False, True))
        for at, verdict in zip(reversed(run), reversed(verdicts), strict=True):
            rest = at + 1 if verdict is None else stops[run.index(at)]
            text = text[:at] + "\n" + text[rest:]
    return text, judged


def _list_of(text: str, count: int) -> list[int] | None:
    """Where the letters of all options stand in their order, each with its words or at the beginning of a line."""
    there = items(text)
    for begin in range(len(there) - count + 1):
        run = there[begin : begin + count]
        entries = all(
            text[at + 1 : at + 2] == "\ue000" or not text[:at].rpartition("\n")[2].strip(" -*(") for at, _, _ in run
        )
        if entries and [(place, by_letter) for _, place, by_letter in run] == [(i, True) for i in range(count)]:
            return [at for at, _, _ in run]
    return None


def _verdict(text: str) -> bool | None:
    """Does what is said behind an entry of a list call it right or wrong?"""
    text = re.split(r"[.!?]\s|answer|答|respuesta|antwort|réponse|정답", text.strip("\ue000 \n"))[0]
    if _WRONG.search(text):
        return False
    if _RIGHT.search(text):
        return True
    last = list(_VERDICT.finditer(text))[-2:]
    return None if not last else not any(match["wrong"] for match in last)

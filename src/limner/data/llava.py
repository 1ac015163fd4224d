"""LLaVA's format (Liu et al., arXiv:2304.08485): dialogues of a person and a model, most about a picture.

    [{"id": "33471", "image": "coco/33471.jpg", "conversations": [
        {"from": "human", "value": "<image>\\nWhat colour is the bus?"},
        {"from": "gpt", "value": "Red."}, ...]}, ...]

A row without ``image`` is text alone. ``<image>`` marks where the picture goes; here it always goes first. As the
authors' code does, what the model says before the first question is left out. So is an unanswered question at the
end.
"""

from __future__ import annotations

from typing import Any

from limner.data.conversations import DIALOGUE, Turn
from limner.data.lines import half_of
from limner.data.rows import ConversationRow, inside

MARK = "<image>"
OTHERS = ("video", "videos", "images", "audio", "audios", "sound")  # keys of rows about something else
OTHER_MARKS = ("<video>", "<audio>", "<sound>")
ROLES = {"human": "human", "user": "human", "gpt": "gpt", "assistant": "gpt"}


def rows(content: list[Any], file: str) -> tuple[list[ConversationRow], list[str]]:
    """Sound rows, and a sentence about every other."""
    sound, problems = [], []
    for number, raw in enumerate(content, 1):
        row, problem = _row(raw, number)
        if row is None:
            problems.append(f"{_name(raw, number)} of '{file}' {problem}")
        else:
            sound.append(row)
    return sound, problems


def _name(raw: Any, number: int) -> str:
    named = isinstance(raw, dict) and isinstance(raw.get("id"), str | int)
    return f"row {number} (id {raw['id']!r})" if named else f"row {number}"


def _row(raw: Any, number: int) -> tuple[ConversationRow | None, str]:
    """A row, or None and what is wrong with it."""
    if not isinstance(raw, dict):
        return None, 'is no object: write {"id": ..., "image": ..., "conversations": [...]}'
    if other := next((key for key in OTHERS if raw.get(key)), None):
        return (
            None,
            f'is about "{other}", which limner does not read: give one picture as "image", or take the row away',
        )
    picture = raw.get("image")
    if picture is not None and (not isinstance(picture, str) or not picture):
        return None, 'has an "image" that is no path: name one picture, or leave "image" out'
    if picture is not None and not inside(picture):
        return None, f"shows '{picture}', which leads out of the folder of pictures: write it relative to that folder"
    messages, problem = _messages(raw.get("conversations"))
    if problem:
        return None, problem
    if other := next((mark for mark in OTHER_MARKS for _, text in messages if mark in text), None):
        return None, f"marks {other}, which limner does not read: take the row away"
    marks = sum(text.count(MARK) for _, text in messages)
    if marks > 1:
        return None, f"marks {marks} pictures by {MARK}, but a row has one: split it"
    if marks and picture is None:
        return None, f'marks a picture by {MARK} but names none: add "image", or take the mark away'
    if any(who == "gpt" and not text.strip() for who, text in messages[:-1]):
        return None, "has an empty answer before the end: write one, or take the row away"
    turns = _turns(messages)
    if not turns:
        return None, "has no answer: add the model's answer, or take the row away"
    return ConversationRow(_name(raw, number), picture, turns, apart=False), ""


def _messages(conversations: Any) -> tuple[list[tuple[str, str]], str]:
    """Role and text of each message, roles alternating, from the first question on; and what is wrong with it."""
    if not isinstance(conversations, list):
        return [], 'has no "conversations": write a list of {"from": "human" or "gpt", "value": "..."}'
    messages: list[tuple[str, str]] = []
    for part in conversations:
        if not isinstance(part, dict) or not isinstance(part.get("value"), str) or part.get("from") not in ROLES:
            return [], 'has a turn that is no {"from": "human" or "gpt", "value": "..."}: correct it'
        who = ROLES[part["from"]]
        if not messages and who == "gpt":
            continue
        if messages and messages[-1][0] == who:
            return [], f"lets the {who} speak twice in a row: join the two turns"
        if half := half_of(part["value"]):
            return [], f"holds {half}: write the text again as UTF-8"
        messages.append((who, part["value"]))
    return messages, ""


def _turns(messages: list[tuple[str, str]]) -> tuple[Turn, ...]:
    """Questions with their answers, without the marks of pictures."""
    texts = [text.replace(MARK, "").strip() for _, text in messages]
    pairs = zip(texts[::2], texts[1::2], strict=False)
    return tuple(Turn(question, answer, DIALOGUE) for question, answer in pairs if answer)

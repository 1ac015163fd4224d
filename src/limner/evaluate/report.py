"""The report of an evaluation: one JSON object ``{"model", "protocol", "weights", "scores", "hash"}``, and back to
scores."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from limner.evaluate.protocol import Protocol, Score
from limner.evaluate.records import numbers, read_record


def report(model: str, weights: str, protocol: Protocol, scores: dict[str, float]) -> dict[str, Any]:
    """The object that ``limner evaluate --json`` prints; the protocol carries its own hash, and the whole another."""
    content = {
        "model": model,
        "protocol": {"hash": protocol.hash, **asdict(protocol)},
        "weights": weights,
        "scores": {name: round(value, 6) for name, value in scores.items()},
    }
    return {**content, "hash": _hash(content)}


def _hash(content: dict[str, Any]) -> str:
    """Sixteen hexadecimal digits that change with any value."""
    parts = [content[name] for name in ("model", "protocol", "weights", "scores")]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def merged(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """One report of two about the same weights, whose scores have different names: what their protocols say otherwise
    holds for both, and the second's seed is the one by which anything was drawn."""
    mine, theirs = first["protocol"], second["protocol"]
    response: dict[str, Any] = {
        name: value if value == theirs[name] else f"{value}; {theirs[name]}"
        for name, value in mine.items()
        if isinstance(value, str) and name != "hash"
    }
    protocol = Protocol(**response, count=mine["count"] + theirs["count"], size=theirs["size"], seed=theirs["seed"])
    return report(first["model"], first["weights"], protocol, {**first["scores"], **second["scores"]})


def read_scores(path: Path) -> dict[str, Score]:
    """The scores of a saved report, ready to be compared. Raises InputError where the file is no such report, was
    changed after it was written, or holds a score that is no finite number."""
    what = "no report of `limner evaluate --json`, or was changed after it"
    return read_record(path, what, "write it again", _scores)


def _scores(content: Any) -> dict[str, Score]:
    fields = {name: value for name, value in content["protocol"].items() if name != "hash"}
    if isinstance(fields.get("size"), list):
        fields["size"] = tuple(fields["size"])
    protocol = Protocol(**fields)
    if content["protocol"]["hash"] != protocol.hash:
        raise ValueError(f"its protocol has the hash {protocol.hash} and not {content['protocol']['hash']!r}")
    if content["hash"] != _hash(content):
        raise ValueError(f"it has the hash {_hash(content)} and not {content['hash']!r}")
    return {name: Score(name, value, protocol) for name, value in numbers(content["scores"]).items()}


def pictures_hash(pictures: Iterable[np.ndarray], texts: Iterable[str] = ()) -> str:
    """Sixteen hexadecimal digits over pictures and texts, in order."""
    digest = hashlib.sha256()
    for picture in pictures:
        digest.update(repr(picture.shape).encode() + np.ascontiguousarray(picture).tobytes())
    for text in texts:
        digest.update(text.encode() + b"\0")
    return digest.hexdigest()[:16]


@contextmanager
def progress(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error (never on standard output, which is kept for the report)."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total)
        yield lambda count: bar.advance(task, count)

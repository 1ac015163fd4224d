"""Sizes and figures of the reliability tests: what docs/reliability.md promises is tried here.

`pytest tests/reliability` tries as many inputs as a change deserves; ``--release`` as many as a release does, and
``--figures FILE`` writes what was tried and held, which `scripts/write_reliability.py` puts into the page.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator

import pytest

FIGURES = pytest.StashKey[dict[str, dict[str, int]]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FIGURES] = {}


@pytest.fixture
def trials(request: pytest.FixtureRequest) -> Callable[[int, int], int]:
    """``trials(1_000, 200_000)``: how many inputs to try, in every change and before a release."""

    def choose(change: int, release: int) -> int:
        return release if request.config.getoption("--release") else change

    return choose


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Callable[[str, int, int], None]:
    """``record("shards: a damaged member is named", tried, held)``: a figure for the page, added to what other tests
    found of the same promise; fails unless all held."""

    def keep(promise: str, tried: int, held: int) -> None:
        before = request.config.stash[FIGURES].get(promise, {"tried": 0, "held": 0})
        request.config.stash[FIGURES][promise] = {"tried": before["tried"] + tried, "held": before["held"] + held}
        assert tried, f"nothing was tried of {promise!r}"
        assert held == tried, f"{promise}: {held} of {tried} held"

    return keep


@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, None, None]:
    yield
    if target := session.config.getoption("--figures"):
        target.write_text(json.dumps(session.config.stash[FIGURES], indent=1, sort_keys=True) + "\n", encoding="utf-8")

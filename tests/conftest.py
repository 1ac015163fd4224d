"""Shared by all tests. limner is imported inside functions only: the shape checks must be switched on before it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


class Outcome(NamedTuple):
    """What a command line came to: its exit code and what it wrote."""

    code: int
    out: str
    err: str


@pytest.fixture
def command_line(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Runs ``limner ARGUMENTS`` in this process."""

    def run(*arguments: object) -> Outcome:
        from limner.cli import main

        capsys.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as stop:  # argparse and tyro stop this way
            code = stop.code if isinstance(stop.code, int) else 1
        return Outcome(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def repository() -> Path:
    """The top of the checkout."""
    return REPOSITORY

"""Shared by all tests. limner is imported inside functions only: the shape checks must be switched on before it.

`pytest` alone runs what is quick: neither ``zoo`` (every recipe, trained and saved) nor ``slow`` (5 s or more). Whoever
names files, or chooses by -m or -k, gets all that was chosen: `pytest tests` runs everything, as `.ci/run` does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import NamedTuple

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
QUICK = "not slow and not zoo"
SLOW = 5.0  # seconds of computing
BY_FOLDER = ("laws", "parity", "zoo")  # tests in these folders are marked by the folder's name


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("limner")
    group.addoption(
        "--release", action="store_true", help="as many trials as a release deserves, and all that takes long"
    )
    group.addoption("--figures", type=Path, help="reliability: a JSON file for what was tried and held")


def pytest_configure(config: pytest.Config) -> None:
    chosen = config.option.markexpr or config.option.keyword
    if not chosen and config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        config.option.markexpr = QUICK  # xdist hands options on to its workers


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        folder = item.path.relative_to(REPOSITORY / "tests").parts[0]
        if folder in BY_FOLDER:
            item.add_marker(folder)
    items.sort(key=_recipe)


def _recipe(item: pytest.Item) -> str:
    """The recipe that a test of the zoo is for: all tests of one run one after the other, in one process, which trains
    it once. Other tests come first, in their order."""
    if item.get_closest_marker("zoo") is None:
        return ""
    parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    entry = parameters.get("entry")
    return f"zoo {parameters.get('path', getattr(entry, 'path', ''))}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Seconds of computing of this process, as other work on the machine does not count."""
    began = time.process_time()
    yield
    item.user_properties.append(("computing", time.process_time() - began))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name tests without a marker that take twice the time of a quick one; that the machine is slow fails none."""
    for report in terminalreporter.getreports("passed"):
        spent = dict(report.user_properties).get("computing", 0.0)
        if spent > 2 * SLOW and not {"slow", "zoo"} & set(report.keywords):
            terminalreporter.line(f"mark as slow: {report.nodeid} computes for {spent:.0f} s")


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

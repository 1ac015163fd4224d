"""The constraints of lowest versions are the lower bounds of pyproject.toml."""

from __future__ import annotations

import re
import tomllib

BOUND = re.compile(r"([\w-]+)>=([\w.]+)")
PINNED = {"torch": "2.13.0"}  # the one build of it that can be had here


def test_the_lowest_versions_are_those_allowed(repository):
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    allowed = dict(found.groups() for one in wanted if (found := BOUND.match(one)))
    lines = (repository / "constraints-lowest.txt").read_text(encoding="utf-8").splitlines()
    lowest = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert lowest == allowed | PINNED

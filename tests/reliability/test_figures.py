"""The figures of docs/reliability.md come from these tests."""

from __future__ import annotations

import re
from pathlib import Path


def test_every_promise_of_the_page_is_tried_by_a_test_of_this_folder(repository: Path) -> None:
    page = (repository / "docs/reliability.md").read_text(encoding="utf-8")
    figures = page.split("<!-- figures -->")[1].split("<!-- /figures -->")[0]
    promises = re.findall(r"^\| (?!promise|---)(.+?) \| [\d,]+ \| [\d,]+ \|$", figures, flags=re.MULTILINE)
    tests = "\n".join(file.read_text(encoding="utf-8") for file in (repository / "tests/reliability").glob("test_*.py"))
    assert [promise for promise in promises if promise not in tests] == []

"""``limner data``: from pictures to a sheet, shards and back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def album(tmp_path: Path) -> Path:
    folder = tmp_path / "album"
    folder.mkdir()
    for number in range(5):
        Image.new("RGB", (30, 20), (50 * number, 0, 0)).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(f"shade {number}")
    return folder


def test_check_finds_nothing_wrong(command_line, album):
    outcome = command_line("data", "check", album, "--json")
    assert outcome.code == 0, outcome.err
    report = json.loads(outcome.out)
    assert (report["pictures"], report["captioned"], report["broken"]) == (5, 5, 0)
    assert "nothing is broken" in command_line("data", "check", album).out


def test_check_names_the_broken_file_and_fails(command_line, album):
    whole = (album / "3.png").read_bytes()
    (album / "3.png").write_bytes(whole[: len(whole) // 2])
    outcome = command_line("data", "check", album)
    assert outcome.code == 1
    assert "3.png" in outcome.out
    assert command_line("data", "check", album / "nowhere").code == 2


def test_show_writes_a_sheet(command_line, album, tmp_path):
    sheet = tmp_path / "sheet.png"
    outcome = command_line("data", "show", album, "-n", 3, "-o", sheet, "--json")
    assert json.loads(outcome.out) == {"source": str(album), "file": str(sheet)}
    with Image.open(sheet) as page:
        assert page.width == 3 * 112 + 4 * 12
    assert command_line("data", "show", album, "-o", sheet).out == f"wrote {sheet}\n"


def test_pack_writes_shards_that_check_reads(command_line, album, tmp_path):
    shards = tmp_path / "shards"
    said = json.loads(command_line("data", "pack", album, shards, "--shard-size", 2, "--json").out)
    assert [Path(shard).parent for shard in said["shards"]] == [shards] * 3
    report = json.loads(command_line("data", "check", shards, "--json").out)
    assert (report["kind"], report["pictures"], report["captioned"]) == ("shards", 5, 5)
    few = command_line("data", "pack", album, tmp_path / "few", "-n", 2, "--shard-size", 2)
    assert few.out == f"shards in {tmp_path / 'few'}: 1\n"


def test_build_writes_a_world_as_a_folder(command_line, tmp_path):
    out = tmp_path / "scenes"
    outcome = command_line("data", "build", "scenes", out, "-n", 4)
    assert outcome.out == f"pictures in {out}: 4\n"
    report = json.loads(command_line("data", "check", out, "--json").out)
    assert (report["pictures"], report["captioned"]) == (4, 4)
    with Image.open(min(out.glob("*.png"))) as picture:
        assert np.asarray(picture).std() > 0
    again = command_line("data", "build", "scenes", out)
    assert again.code == 2
    assert "not an empty folder" in again.err
    assert command_line("data", "build", "cars", tmp_path / "cars").code == 2

import json
import re
import shlex
from dataclasses import asdict

import numpy as np
import pytest
from PIL import Image

from limner.data.emoji import Emoji
from limner.data.folder import Folder
from limner.data.images import read_image
from limner.data.inspect import ENDLESS, WORLDS, build, check, open_source, pack, show
from limner.data.shards import Shards
from limner.errors import InputError


@pytest.fixture
def pictures(tmp_path):
    """Three sound pictures, one of them captioned."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.new("RGB", (30, 20), (200, 30, 30)).save(folder / "a.png")
    Image.new("RGB", (30, 20), (30, 200, 30)).save(folder / "b.jpg")
    Image.new("RGB", (50, 40), (30, 30, 200)).save(folder / "c.png")
    (folder / "a.txt").write_text("a red picture")
    return folder


def test_check_counts_what_is_sound(pictures):
    (pictures / "notes.pdf").write_bytes(b"")
    report = check(pictures)
    assert (report.kind, report.pictures, report.captioned, report.broken, report.first) == ("folder", 3, 1, 0, "")
    assert report.formats == {"PNG": 2, "JPEG": 1}
    assert report.sizes == {"30x20": 2, "50x40": 1}
    assert (report.smallest, report.largest, report.ignored) == (20, 50, 1)
    text = str(report)
    assert "3 sound pictures, 1 of them with a caption" in text
    assert "20 to 50 pixels, most often 30x20" in text
    assert "left out: 1 file" in text
    assert "nothing is broken" in text
    json.dumps(asdict(report))


def test_check_names_the_first_broken_file_and_how_to_mend_it(pictures):
    (pictures / "a2.png").write_bytes(b"<html>")
    (pictures / "b.jpg").write_bytes((pictures / "b.jpg").read_bytes()[:300])
    report = check(pictures)
    assert (report.pictures, report.broken) == (2, 2)
    assert "a2.png' is no picture" in report.first
    assert "convert it to PNG" in report.first
    assert f"broken: 2; first: {report.first}" in str(report)
    (pictures / "lost.txt").write_text("a caption")
    report = check(pictures)
    assert report.broken == 3
    assert "lost.txt' is a caption without a picture: put the picture beside it" in report.first
    assert check(pictures, max_pixels=700).broken == 4


def test_check_of_nothing_but_broken_files(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    report = check(tmp_path)
    assert (report.pictures, report.broken, report.smallest, report.sizes) == (0, 1, 0, {})
    assert "0 sound pictures" in str(report)
    with pytest.raises(InputError, match="gone' is not a folder"):
        check(tmp_path / "gone")


def test_pack_and_check_shards(pictures, tmp_path):
    paths = pack(str(pictures), tmp_path / "shards", 2)
    assert len(paths) == 2
    shards, folder = Shards(tmp_path / "shards", None), Folder(pictures, None)
    assert all(np.array_equal(shards[i].image, folder[i].image) for i in range(3))
    report = check(tmp_path / "shards")
    assert (report.kind, report.pictures, report.captioned, report.broken) == ("shards", 3, 1, 0)
    content = bytearray(paths[1].read_bytes())
    content[content.index(b"IDAT") + 8] ^= 255
    paths[1].write_bytes(content)
    report = check(str(tmp_path / "shards" / "shard-{000000..000001}.tar"))
    assert (report.pictures, report.broken) == (2, 1)
    assert "'000000002.png' in '" in report.first
    assert "shard-000001.tar' is damaged" in report.first


def test_check_shards_reads_labels_and_captions(tmp_path, pictures):
    path = pack(Folder(pictures), tmp_path / "shards")[0]
    path.write_bytes(path.read_bytes().replace(b'"label": -1', b'"label": xx', 1))
    report = check(path)
    assert report.broken == 1
    assert "the label of '000000000.png'" in report.first


def test_show_writes_a_sheet_with_every_picture(tmp_path, pictures):
    show(str(pictures), tmp_path / "new" / "sheet.png", 3)
    sheet = read_image(tmp_path / "new" / "sheet.png")
    found = {tuple(colour) for colour in sheet.reshape(-1, 3).tolist()}
    assert {(200, 30, 30), (30, 30, 200)} <= found
    show(Emoji("heldout"), tmp_path / "emoji.png", 20)
    tall, wide, _ = read_image(tmp_path / "emoji.png").shape
    assert wide > tall > 300
    with pytest.raises(InputError, match="at least 1"):
        show("emoji", tmp_path / "none.png", 0)
    with pytest.raises(InputError, match="does not end like a picture"):
        show(str(pictures), tmp_path / "sheet.doc")


@pytest.mark.parametrize("world", WORLDS)
def test_every_world_opens_builds_and_reads_back(world, tmp_path):
    assert build(world, tmp_path / "out", 5) == 5
    source, folder = open_source(world), Folder(tmp_path / "out", None)
    assert len(folder) == 5
    assert check(tmp_path / "out").captioned == 5
    rows = [json.loads(line) for line in (tmp_path / "out" / "metadata.jsonl").read_text().splitlines()]
    for index, row in enumerate(rows):
        assert np.array_equal(folder[index].image, source[index].image)
        assert folder[index].caption == source[index].caption == row["text"]
        assert source[index].label == row["label"]


def test_endless_worlds_give_a_thousand(tmp_path):
    assert build("glyphs", tmp_path / "out") == 1000
    assert len(open_source("emoji")) < ENDLESS < len(open_source("glyphs"))


def test_the_snippets_of_the_page_on_data_run(tmp_path, monkeypatch, pictures, repository, command_line):
    page = (repository / "docs" / "data.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    pictures.rename("my-pictures")
    for language, code in re.findall(r"```(\w+)\n(.*?)```", page, re.DOTALL):
        if language == "python":
            exec(compile(code, "docs/data.md", "exec"), {})
        elif language == "bash":
            commands = [shlex.split(line, comments=True) for line in code.splitlines() if line.startswith("limner ")]
            assert all(command_line(*command[1:]).code == 0 for command in commands)


def test_errors_name_the_input(tmp_path, pictures):
    with pytest.raises(InputError, match="'pictures'.*emoji, scenes, digits, glyphs, photos"):
        build("pictures", tmp_path / "out")
    with pytest.raises(InputError, match="not an empty folder"):
        build("digits", pictures)
    with pytest.raises(InputError, match="cannot be written"):
        build("digits", pictures / "a.png" / "inside", 1)
    with pytest.raises(InputError, match="'emojis' is no data set: give one of emoji"):
        open_source("emojis")
    assert isinstance(open_source(str(pictures)), Folder)
    pack("digits", tmp_path / "s", count=2)
    assert isinstance(open_source(tmp_path / "s"), Shards)
    assert isinstance(open_source(f"{tmp_path}/s/*.tar"), Shards)

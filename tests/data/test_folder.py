import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from limner.data.folder import Folder, list_folder
from limner.data.source import Source
from limner.errors import InputError

RED, BLUE = (255, 0, 0), (0, 0, 255)


def picture(path: Path, colour=RED, size=(20, 10)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def test_sorted_recursive_with_sidecar_captions(tmp_path):
    for name in ("b.png", "a/z.jpg", "a.PNG", ".hidden/x.png", ".y.png", "c.webp"):
        picture(tmp_path / name)
    (tmp_path / "b.txt").write_text("\ufeffa red\n picture \n", encoding="utf-8")
    (tmp_path / "a" / "z.TXT").write_text("ein größeres Bild", encoding="utf-8")
    (tmp_path / "notes.md").write_text("notes")
    folder = Folder(tmp_path, 8)
    assert isinstance(folder, Source)
    assert folder.pictures == ["a.PNG", "a/z.jpg", "b.png", "c.webp"]
    assert [folder[i].caption for i in range(len(folder))] == ["", "ein größeres Bild", "a red picture", ""]
    assert folder[2].image.shape == (8, 8, 3)
    assert folder[2].label == -1
    assert folder.name == tmp_path.name
    assert list_folder(tmp_path).ignored == ["notes.md"]


def test_size_and_mode(tmp_path):
    picture(tmp_path / "a.png")
    assert Folder(tmp_path, None)[0].image.shape == (10, 20, 3)
    padded = Folder(tmp_path, 20, "pad")[0].image
    assert padded[0, 0].tolist() == [255, 255, 255]
    assert padded[10, 0].tolist() == list(RED)
    with pytest.raises(InputError, match="more than the 100 allowed"):
        Folder(tmp_path, max_pixels=100)[0]
    with pytest.raises(IndexError):
        Folder(tmp_path)[1]


def test_metadata_wins_over_text_and_is_relative_to_its_folder(tmp_path):
    picture(tmp_path / "a.png")
    picture(tmp_path / "train/b.png", BLUE)
    picture(tmp_path / "train/c.png")
    (tmp_path / "a.txt").write_text("from the text file")
    rows = [{"file_name": "a.png", "text": "from the table"}, {"file_name": "train/c.png"}]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    (tmp_path / "train/metadata.jsonl").write_text('{"file_name": "./b.png", "text": "a blue one", "other": 3}')
    folder = Folder(tmp_path, 4)
    assert folder.captions == ["from the table", "a blue one", ""]
    assert np.array_equal(folder[1].image, np.full((4, 4, 3), BLUE))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            '{"file_name": "gone.png", "text": "x"}',
            r"line 2 of .*metadata\.jsonl' names 'gone\.png', which is not there",
        ),
        ('{"file_name": "../out.png"}', r"names '\.\./out\.png', which is not there"),
        ('{"file_name": "a.png", "text": "again"}', "names 'a.png' a second time"),
        ('{"text": "x"}', "does not name a picture: write"),
        ("[1]", "is no JSON object"),
        ('{"file_name": "a.png", "text": ["x"]}', "is no string: put the caption in quotes"),
        ("{oops", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
    ],
)
def test_broken_metadata_is_named_by_line(tmp_path, line, message):
    picture(tmp_path / "a.png")
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.png", "text": "x"}\n' + line)
    with pytest.raises(InputError, match=message):
        Folder(tmp_path)


def test_captions_without_a_picture_or_that_cannot_be_read(tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "b.txt").write_text("nothing here")
    with pytest.raises(InputError, match=r"b\.txt' is a caption without a picture: put the picture beside it"):
        Folder(tmp_path)
    (tmp_path / "b.txt").unlink()
    (tmp_path / "a.txt").write_bytes(b"caf\xe9")
    with pytest.raises(InputError, match=r"a\.txt' cannot be read .* save it as UTF-8"):
        Folder(tmp_path)
    (tmp_path / "a.txt").unlink()
    (tmp_path / "metadata.jsonl").write_bytes(b"caf\xe9")
    with pytest.raises(InputError, match=r"metadata\.jsonl' cannot be read"):
        Folder(tmp_path)


def test_missing_and_empty_folders(tmp_path):
    with pytest.raises(InputError, match="gone' is not a folder"):
        Folder(tmp_path / "gone")
    with pytest.raises(InputError, match="holds no picture"):
        Folder(tmp_path)


def test_a_broken_picture_raises_when_asked_for(tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"not a picture")
    folder = Folder(tmp_path)
    assert len(folder) == 2
    with pytest.raises(InputError, match=r"b\.png' is no picture"):
        folder[1]

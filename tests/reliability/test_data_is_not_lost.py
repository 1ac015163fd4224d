"""Samples in are samples out, or what is wrong is named: shards, folders and JSON files made at random."""

from __future__ import annotations

import io
import json
import random
import subprocess
import tarfile

import numpy as np
import pytest
from PIL import Image

from limner.data import conversation_report
from limner.data.conversation_file import ConversationFile
from limner.data.folder import Folder
from limner.data.inspect import check
from limner.data.own import held_out, open_own
from limner.data.shards import Shards, write_shards
from limner.errors import InputError

STEMS = ("a", "b", "photo v1", "photo v1.0", "photo v1.1", "IMG.2024.01", "x/a", "x.y/a", "é", "红心", "a b")
EXTRAS = ("depth.png", "seg.png", "npy", "mask.jpg", "vae.pth")  # what stands beside a picture and is none of it
CAPTIONS = ("a cat", "zwei\u2028Katzen", "一只猫", "", "x\x85y", "</s> [end] <|im_end|>", '"quoted", \\n', "🐱")


def picture(value: int, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (value,) * 3).save(file, kind)
    return file.getvalue()


def tar(path, members: list[tuple[str, bytes]]):
    with tarfile.open(path, "w") as made:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            made.addfile(info, io.BytesIO(content))
    return path


def one_line(caption: str) -> str:
    return " ".join(caption.split())


def samples_of(data) -> list[tuple[int, str]]:
    return sorted((int(data[i].image[0, 0, 0]), data[i].caption) for i in range(len(data)))


def agrees(path, right: list[tuple[int, str]]) -> bool:
    """Either all samples are there, or both `check` and opening name something; never one without the other."""
    report = check(path)
    try:
        found = samples_of(open_own(path))
    except InputError:
        return report.broken > 0
    return report.broken == 0 and found == sorted(right) and report.pictures == len(right)


def random_shard(rng: random.Random) -> tuple[list[tuple[str, bytes]], list[tuple[int, str]]]:
    """Files of a shard, and what a person sees in it: values of pictures, with captions."""
    members, right = [], []
    for number, stem in enumerate(rng.sample(STEMS, rng.randint(1, 4))):
        value, caption = 10 * number + rng.randrange(10), rng.choice(CAPTIONS)
        group = [(f"{stem}.{rng.choice(('png', 'PNG'))}", picture(value))]
        written = rng.choice(("txt", "caption", "json", "null", "none"))
        if written in ("txt", "caption"):
            group.append((f"{stem}.{written}", caption.encode()))
        elif written == "json":
            key = rng.choice(("text", "caption"))
            group.append((f"{stem}.json", json.dumps({key: caption}, ensure_ascii=rng.random() < 0.5).encode()))
        elif written == "null":
            group.append((f"{stem}.json", b'{"text": null, "caption": null}'))
        right.append((value, one_line(caption) if written in ("txt", "caption", "json") else ""))
        if rng.random() < 0.3:
            extra = rng.choice(EXTRAS)
            group.append((f"{stem}.{extra}", picture(200) if extra[-3:] in ("png", "jpg") else b"\0"))
        if rng.random() < 0.3:
            rng.shuffle(group)
        members += group
    if rng.random() < 0.2:
        rng.shuffle(members)
    if rng.random() < 0.15:
        members.append(rng.choice(members))  # one name twice
    if rng.random() < 0.1:
        members.append(("alone.txt", b"no picture"))
    return members, right


def test_shards_lose_nothing(tmp_path, trials, record):
    tried, lost = trials(120, 5_000), []
    for number in range(tried):
        members, right = random_shard(random.Random(number))
        if not agrees(tar(tmp_path / "a.tar", members), right):
            lost.append((number, [name for name, _ in members]))
    assert not lost, lost[:3]
    record("random shards: all samples are read, or what is wrong is named", tried, tried - len(lost))


def test_folders_lose_nothing(tmp_path, trials, record):
    tried, lost = trials(40, 2_000), []
    for number in range(tried):
        rng, folder = random.Random(number), tmp_path / str(number)
        right, lines = [], []
        for place, stem in enumerate(rng.sample([s for s in STEMS if "/" not in s], rng.randint(1, 4))):
            folder.mkdir(exist_ok=True)
            caption, name = rng.choice(CAPTIONS), f"{stem}.{rng.choice(('png', 'PNG'))}"
            (folder / name).write_bytes(picture(10 * place))
            written = rng.choice(("txt", "caption", "name.txt", "line", "null", "none"))
            if written in ("txt", "caption"):
                (folder / f"{stem}.{written}").write_text(caption, encoding="utf-8")
            elif written == "name.txt":
                (folder / f"{name}.txt").write_text(caption, encoding="utf-8")
            elif written in ("line", "null"):
                row = {"file_name": name, rng.choice(("text", "caption")): caption if written == "line" else None}
                lines.append(json.dumps(row, ensure_ascii=rng.random() < 0.5))
            right.append((10 * place, one_line(caption) if written not in ("null", "none") else ""))
        if lines:
            ending = rng.choice(("\n", "\r\n"))
            (folder / "metadata.jsonl").write_bytes(ending.join(lines).encode())
        if not agrees(folder, right):
            lost.append((number, sorted(path.name for path in folder.iterdir())))
    assert not lost, lost[:3]
    record("random folders: all samples are read, or what is wrong is named", tried, tried - len(lost))


@pytest.mark.parametrize(
    ("members", "value", "caption"),
    [
        (["a.depth.png", "a.jpg", "a.txt"], 1, "text"),
        (["a.input.png", "a.output.txt"], 0, "text"),
        (["a.png", "a.caption"], 0, "text"),
        (["photo v1.0.png", "photo v1.0.txt"], 0, "text"),
        (["a.png", "b.png", "b.txt", "a.txt"], 0, "text"),  # files of a sample need not stand together
    ],
)
def test_which_picture_and_which_caption(tmp_path, members, value, caption):
    kinds = {"png": "PNG", "jpg": "JPEG"}
    files = [
        (name, picture(60 * number, kinds[name[-3:]]) if name[-3:] in kinds else b"text")
        for number, name in enumerate(members)
    ]
    shard = Shards(tar(tmp_path / "a.tar", files), None)
    assert (60 * value, caption) in samples_of(shard)
    assert len(shard) == len({name[0] for name in members})


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        (["a.left.png", "a.right.png", "a.txt"], r"has 2 pictures \(left\.png, right\.png\)"),
        (["a.png", "a.jpg", "a.txt"], "has 2 pictures"),
        (["a.png", "a.txt", "a.caption"], "has 2 captions"),
        (["a.png", "a.en.txt", "a.de.txt"], r"has 2 captions \(de\.txt, en\.txt\)"),
        (["a.png", "a.png", "a.txt"], r"'a\.png' stands twice"),
        (["a.png", "a.PNG"], "stands twice"),
        (["a.txt"], "has no picture"),
        (["a.mp4", "a.txt"], "has no picture"),
    ],
)
def test_what_cannot_be_told_apart_is_named(tmp_path, members, sentence):
    files = [(name, picture(9) if name[-3:] in ("png", "jpg", "PNG") else b"text") for name in members]
    tar(tmp_path / "a.tar", files)
    with pytest.raises(InputError, match=sentence):
        Shards(tmp_path / "a.tar")
    assert check(tmp_path / "a.tar").broken


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"prompt": "a cat"}, 'has no "text" but a "prompt"'),
        ({"text": ["a", "b"]}, "is no string"),
        ({"text": 5}, "is no string"),
        ({"caption": "\ud83d"}, "half a character"),
    ],
)
def test_captions_that_would_be_lost_are_named(tmp_path, table, sentence):
    shard = tar(tmp_path / "a.tar", [("a.png", picture(1)), ("a.json", json.dumps(table).encode())])
    assert check(shard).broken == 1
    with pytest.raises(InputError, match=sentence):
        Shards(shard)[0]
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.png").write_bytes(picture(1))
    (folder / "metadata.jsonl").write_text(json.dumps({"file_name": "a.png", **table}))
    assert check(folder).broken == 1
    with pytest.raises(InputError, match=sentence):
        Folder(folder)


def test_names_with_dots(tmp_path):
    """WebDataset 237, datasets 7144: three pictures with three captions."""
    members = [
        (f"photo v1.{k}.{ending}", content)
        for k in range(3)
        for ending, content in (("png", picture(10 * k)), ("txt", f"number {k}".encode()))
    ]
    shard = tar(tmp_path / "d.tar", members)
    assert samples_of(Shards(shard, None)) == [(0, "number 0"), (10, "number 1"), (20, "number 2")]
    report = check(shard)
    assert (report.pictures, report.captioned, report.broken) == (3, 3, 0)


def test_folders_name_what_they_would_pass_over(tmp_path):
    (tmp_path / "a.png").write_bytes(picture(1))
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "b.png").write_bytes(picture(2))
    assert len(Folder(tmp_path)) == 2
    (tmp_path / "link").symlink_to(tmp_path / "more", target_is_directory=True)
    with pytest.raises(InputError, match="is a link to a folder"):
        Folder(tmp_path)
    (tmp_path / "link").unlink()
    (tmp_path / "metadata.csv").write_text("file_name,text\na.png,x\n")
    with pytest.raises(InputError, match=r"metadata\.csv' is not read"):
        Folder(tmp_path)
    (tmp_path / "metadata.csv").unlink()
    tar(tmp_path / "s.tar", [("c.png", picture(3))])
    with pytest.raises(InputError, match=r"holds shards and 'a\.png', which would be passed over"):
        open_own(tmp_path)


def test_shards_that_are_compressed_or_unfinished_are_named(tmp_path):
    tar(tmp_path / "a.tar", [("a.png", picture(1))])
    for name in ("b.tar.gz", "b.tgz", "b.tar.part"):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(InputError, match="which would be passed over"):
            Shards(tmp_path)
        (tmp_path / name).unlink()
    assert len(Shards(tmp_path)) == 1


def test_sparse_members_are_named(tmp_path):
    """GNU tar stores long holes by their places: what stands at the offset of the data is not the file."""
    whole = bytearray(picture(7))
    (tmp_path / "a.png").write_bytes(bytes(whole))
    with (tmp_path / "a.npy").open("wb") as file:
        file.truncate(1 << 20)
    for form in ("gnu", "posix"):
        shard = tmp_path / f"{form}.tar"
        made = subprocess.run(
            ["tar", "--sparse", f"--format={form}", "-cf", shard, "a.png", "a.npy"], cwd=tmp_path, check=False
        )
        if made.returncode:
            pytest.skip("this tar stores no holes")
        with pytest.raises(InputError, match="sparse"):
            Shards(shard)
        assert check(shard).broken


def test_links_in_shards_are_named(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as made:
        info = tarfile.TarInfo("a.png")
        info.type, info.linkname = tarfile.SYMTYPE, "elsewhere.png"
        made.addfile(info)
    with pytest.raises(InputError, match="a link or a device"):
        Shards(tmp_path / "a.tar")


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"video": "a.mp4"}, 'is about "video"'),
        ({"images": ["a.png", "b.png"]}, 'is about "images"'),
        ({"value": "<video>\nWhat?"}, "marks <video>"),
        ({"answer": "\ud83d"}, "half a character"),
        ({"answer": " "}, "has no answer"),
    ],
)
def test_rows_about_something_else_are_named(tmp_path, row, sentence):
    (tmp_path / "a.png").write_bytes(picture(1))
    turns = [{"from": "human", "value": row.pop("value", "What?")}, {"from": "gpt", "value": row.pop("answer", "It.")}]
    good = {"image": "a.png", "conversations": [{"from": "human", "value": "?"}, {"from": "gpt", "value": "!"}]}
    (tmp_path / "rows.json").write_text(json.dumps([good, {**row, "conversations": turns}]))
    assert conversation_report.check(tmp_path / "rows.json").broken == 1
    with pytest.raises(InputError, match=sentence):
        ConversationFile.read(tmp_path / "rows.json", None, 8)


def test_pictures_without_a_caption_are_counted(tmp_path):
    (tmp_path / "a.png").write_bytes(picture(1))
    content = {
        "images": [{"id": number, "file_name": "a.png"} for number in range(3)],
        "annotations": [{"image_id": 1, "caption": "a cat"}],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    report = conversation_report.check(tmp_path / "a.json")
    assert (report.rows, report.uncaptioned, report.broken) == (1, 2, 0)
    assert "2 pictures without a caption left out" in str(report)


def test_what_is_packed_is_what_was_there(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    lines = []
    for number, caption in enumerate(CAPTIONS):
        (folder / f"v1.{number}.png").write_bytes(picture(number))
        lines.append(json.dumps({"file_name": f"v1.{number}.png", "text": caption}, ensure_ascii=False))
    (folder / "metadata.jsonl").write_text("\n".join(lines), encoding="utf-8")
    opened = open_own(folder)
    write_shards(opened, tmp_path / "shards", 3)
    packed = open_own(tmp_path / "shards")
    assert samples_of(packed) == samples_of(opened)
    assert list(packed.captions) == list(opened.captions)


@pytest.mark.parametrize("count", [1, 4, 5, 40, 3000])
def test_what_is_held_out_is_not_learned_from(count):
    class Numbered:
        captions = [""] * count

        def __len__(self):
            return count

        def __getitem__(self, index):
            return index

        def names(self):
            return [f"{number}.png" for number in range(count)]

        def fingerprint(self):
            return ""

    training, kept = held_out(Numbered())
    assert sorted(training.indices + kept.indices) == list(range(count))
    assert len(kept) == {1: 0, 4: 0, 5: 1, 40: 2, 3000: 96}[count]
    assert len(training)
    assert np.array_equal(held_out(Numbered())[1].indices, kept.indices)

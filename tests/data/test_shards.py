import gc
import io
import json
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest

from limner.data.emoji import Emoji
from limner.data.shards import Shards, encode_image, find_shards, index_shards, write_shards
from limner.data.source import Example, Source
from limner.errors import InputError


class Counting:
    """Seven pictures of 6 x 5 noise."""

    name = "counting"

    def __len__(self) -> int:
        return 7

    def __getitem__(self, index: int) -> Example:
        image = np.random.default_rng(index).integers(0, 256, (6, 5, 3), np.uint8)
        return Example(image, f"number {index}, größer", index * 10)


def tar(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as shard:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            shard.addfile(member, io.BytesIO(content))
    return path


PNG = encode_image(np.zeros((4, 4, 3), np.uint8))


@pytest.mark.parametrize("kind", ["png", "webp"])
def test_written_shards_read_back_exactly(tmp_path, kind):
    source = Counting()
    paths = write_shards(source, tmp_path / "out", 3, kind=kind)
    assert [path.name for path in paths] == ["shard-000000.tar", "shard-000001.tar", "shard-000002.tar"]
    assert sorted((tmp_path / "out").iterdir()) == paths
    shards = Shards(tmp_path / "out", None)
    assert isinstance(shards, Source)
    assert len(shards) == 7
    for index in (6, 0, 3, 6):
        assert np.array_equal(shards[index].image, source[index].image)
        assert shards[index].caption == source[index].caption
        assert shards[index].label == source[index].label
    assert Shards(tmp_path / "out", 16)[0].image.shape == (16, 16, 3)
    with pytest.raises(IndexError):
        shards[7]


def test_the_same_source_makes_the_same_bytes(tmp_path):
    first, second = (write_shards(Counting(), tmp_path / name, 4) for name in "ab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert len(Shards(write_shards(Counting(), tmp_path / "c", 4, count=5)[0].parent)) == 5


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # webdataset leaves the shards it has read open
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_webdataset_package_reads_them(tmp_path):
    webdataset = pytest.importorskip("webdataset")
    emoji = Emoji("heldout")
    write_shards(emoji, tmp_path, 4, count=6)
    pattern = str(tmp_path / "shard-{000000..000001}.tar")
    samples = list(webdataset.WebDataset(pattern, shardshuffle=False, empty_check=False).decode("rgb8"))
    assert len(samples) == 6
    for index, sample in enumerate(samples):
        assert sample["__key__"] == f"{index:09d}"
        assert np.array_equal(sample["png"], emoji[index].image)
        assert sample["txt"] == emoji.name(index)
        assert sample["json"] == {"index": index, "label": int(emoji.indices[index])}
    gc.collect()


def test_shards_that_the_webdataset_package_writes_are_read(tmp_path):
    webdataset = pytest.importorskip("webdataset")
    with webdataset.TarWriter(str(tmp_path / "a.tar")) as writer:
        image = Counting()[2].image
        writer.write({"__key__": "some/where/x", "input.png": image, "json": {"caption": "a caption"}, "cls": 4})
        writer.write({"__key__": "some/where/y", "png": image})
    shards = Shards(tmp_path / "a.tar", None)
    assert [sample.key for sample in shards.samples] == ["some/where/x", "some/where/y"]
    assert np.array_equal(shards[0].image, image)
    assert (shards[0].caption, shards[0].label) == ("a caption", 4)
    assert (shards[1].caption, shards[1].label) == ("", -1)


def test_patterns(tmp_path, monkeypatch):
    for name in ("t-08.tar", "t-09.tar", "t-10.tar", "v.tar"):
        tar(tmp_path / name, {f"{name}.png": PNG})

    def names(pattern: str) -> list[str]:
        return [path.name for path in find_shards(f"{tmp_path}/{pattern}")]

    assert names("") == names("*.tar") == ["t-08.tar", "t-09.tar", "t-10.tar", "v.tar"]
    assert names("t-{08..10}.tar") == ["t-08.tar", "t-09.tar", "t-10.tar"]
    assert names("{v,t-1*}.tar") == ["v.tar", "t-10.tar"]
    assert names("{t,u}-{09..09}.tar"[1:2] + "-{09..10}.tar") == ["t-09.tar", "t-10.tar"]
    monkeypatch.chdir(tmp_path)
    assert [path.name for path in find_shards("t-1?.tar")] == ["t-10.tar"]
    for missing in ("t-{08..11}.tar", "nothing*.tar", "gone"):
        with pytest.raises(InputError, match="names no tar file"):
            find_shards(tmp_path / missing)
    with pytest.raises(InputError, match="counts downwards"):
        find_shards("t-{10..08}.tar")


def test_what_belongs_to_no_sample_is_passed_over(tmp_path):
    files = {"__meta__": b"x", "README": b"x", "._a.png": b"x", "a.PNG": PNG, "a.txt": b" a \n cat ", "d/a.png": PNG}
    shards = Shards(tar(tmp_path / "a.tar", files))
    assert [sample.key for sample in shards.samples] == ["a", "d/a"]
    assert [shards[0].caption, shards[1].caption] == ["a cat", ""]


def test_broken_shards_are_named(tmp_path):
    whole = tar(tmp_path / "whole.tar", {"a.png": PNG * 30, "b.png": PNG * 30})
    for length in (100, 700, 512 + 2560, 512 + 2560 + 200, 512 + 2560 + 512 + 900):
        cut = tmp_path / "cut.tar"
        cut.write_bytes(whole.read_bytes()[:length])
        with pytest.raises(
            InputError, match=r"cut\.tar' is no sound tar file .*: unpack it if it is compressed, or fetch"
        ):
            Shards(cut)
    assert len(PNG * 30) in range(2049, 2561)
    cut.write_bytes(whole.read_bytes()[:3072] + b"?" * 512 + whole.read_bytes()[3584:])
    with pytest.raises(InputError, match="it has no end after 1 samples"):
        Shards(cut)
    with tarfile.open(tmp_path / "z.tar.gz", "w:gz") as shard:
        shard.add(whole, "whole.png")
    with pytest.raises(InputError, match=r"z\.tar\.gz' is no sound tar file"):
        Shards(tmp_path / "z.tar.gz")
    with pytest.raises(InputError, match=r"'b' in '.*no\.tar' has no picture"):
        Shards(tar(tmp_path / "no.tar", {"a.png": PNG, "b.txt": b"text"}))
    with pytest.raises(InputError, match="holds no sample"):
        Shards(tar(tmp_path / "empty.tar", {}))
    samples, problems = index_shards([whole, tmp_path / "no.tar"])
    assert [len(samples), len(problems)] == [3, 1]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.png": b"junk"}, r"'a\.png' in '.*a\.tar' is no picture"),
        ({"a.png": PNG, "a.txt": b"\xff\xfe\xfa"}, "the caption of 'a.png' in .* cannot be read"),
        ({"a.png": PNG, "a.json": b"[1]"}, "cannot be read .the JSON holds no object"),
        ({"a.png": PNG, "a.txt": b"x", "a.json": b"{"}, "the label of 'a.png' in .* cannot be read"),
        ({"a.png": PNG, "a.cls": b"dog"}, "the label of 'a.png' in .* cannot be read"),
        ({"a.png": PNG, "a.json": b'{"label": null}'}, "the label of 'a.png' in .* cannot be read"),
    ],
)
def test_broken_samples_are_named_when_asked_for(tmp_path, files, message):
    shards = Shards(tar(tmp_path / "a.tar", files))
    with pytest.raises(InputError, match=message):
        shards[0]


def test_shards_can_be_sent_to_other_processes_and_may_vanish(tmp_path):
    paths = write_shards(Counting(), tmp_path, 10)
    shards = pickle.loads(pickle.dumps(Shards(tmp_path, None)))
    assert shards[3].label == 30
    paths[0].unlink()
    with pytest.raises(InputError, match="cannot be read any more"):
        shards[3]


def test_writing_refuses_what_it_would_spoil(tmp_path):
    write_shards(Counting(), tmp_path, 10)
    with pytest.raises(InputError, match="already holds shards"):
        write_shards(Counting(), tmp_path)
    for arguments in ({"kind": "gif"}, {"shard_size": 0}):
        with pytest.raises(InputError, match="cannot be packed"):
            write_shards(Counting(), tmp_path / "b", **arguments)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_shards(Counting(), tmp_path / "file" / "inside")


def test_metadata_of_a_sample_is_json(tmp_path):
    path = write_shards(Counting(), tmp_path)[0]
    with tarfile.open(path) as shard:
        assert shard.getnames()[:3] == ["000000000.png", "000000000.txt", "000000000.json"]
        assert json.loads(shard.extractfile("000000001.json").read()) == {"index": 1, "label": 10}
        assert all(member.mtime == 0 for member in shard)

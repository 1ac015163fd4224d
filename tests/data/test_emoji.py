import gzip
import hashlib
import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from limner.data.emoji import LANGUAGES, Emoji, table
from limner.errors import InputError

ROOT = Path(__file__).parents[2]
ASSETS = ROOT / "src/limner/data/assets"
EVERY = Emoji("all", skin_tones=True)


def source() -> dict[str, str]:
    return json.loads(gzip.decompress((ASSETS / "emoji.json.gz").read_bytes()))["source"]


def test_shipped_pixels_are_the_pinned_ones():
    pictures = np.stack([EVERY.rgba(i) for i in range(len(EVERY))])
    plain = table().plain
    for part, pixels in (("plain", pictures[:plain]), ("toned", pictures[plain:])):
        assert hashlib.sha256(pixels.tobytes()).hexdigest() == source()[part]


def test_counts_groups_and_order():
    assert len(EVERY) == 3655
    assert len(Emoji("all")) == 1870
    assert len({EVERY.group(i) for i in range(3655)}) == 9
    assert len({(EVERY.group(i), EVERY.subgroup(i)) for i in range(3655)}) == 99
    toned = [any("\U0001f3fb" <= c <= "\U0001f3ff" for c in EVERY.sequence(i)) for i in range(3655)]
    assert toned == [False] * 1870 + [True] * 1785
    assert (EVERY.name(0), EVERY.group(0), EVERY.subgroup(0)) == ("grinning face", "Smileys & Emotion", "face-smiling")


def test_splits_partition_the_set_and_share_no_picture():
    for tones in (False, True):
        train, heldout = Emoji("train", skin_tones=tones), Emoji("heldout", skin_tones=tones)
        joined = np.concatenate([train.indices, heldout.indices])
        assert np.array_equal(np.sort(joined), Emoji("all", skin_tones=tones).indices)
        assert 0.03 < len(heldout) / len(joined) < 0.07
        seen = {train.rgba(i).tobytes() for i in range(len(train))}
        assert not any(heldout.rgba(i).tobytes() in seen for i in range(len(heldout)))


def test_the_held_out_split_never_changes():
    digest = hashlib.sha256(" ".join(map(str, Emoji("heldout").indices)).encode()).hexdigest()
    assert digest == "eb78b775de66145f1dc6beae2f235fe7ee70466a002c8f878535a875f8b48e4a"


def test_all_tones_of_an_emoji_are_in_one_split():
    heldout = Emoji("heldout", skin_tones=True)
    bases = {heldout.sequence(i).translate(dict.fromkeys(range(0x1F3FB, 0x1F400))) for i in range(len(heldout))}
    train = Emoji("train", skin_tones=True)
    assert not any(
        train.sequence(i).translate(dict.fromkeys(range(0x1F3FB, 0x1F400))) in bases for i in range(len(train))
    )


def test_the_14_duplicates_are_exactly_the_equal_pictures():
    first: dict[bytes, int] = {}
    twins = [first.setdefault(EVERY.rgba(i).tobytes(), i) for i in range(3655)]
    assert [EVERY.canonical(i) for i in range(3655)] == twins
    assert sum(twin != i for i, twin in enumerate(twins)) == 14


def test_names_in_14_languages():
    assert len(LANGUAGES) == 14
    names = [EVERY.name(i) for i in range(3655)]
    assert len(set(names)) == 3655
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789'-#* ") for name in names)
    cat = names.index("cat face")
    assert EVERY.name(cat, "de") == "katzengesicht"
    assert Emoji("all", language="fr").name(names.index("red heart")) == "cœur rouge"
    for language in LANGUAGES:
        assert all(table().names[language])
        assert len(table().names[language]) == 3655
    assert "flag of norway" in names
    assert "chequered flag" in names


def test_composites_on_the_background():
    white, red = Emoji("all"), Emoji("all", background=(255, 0, 0))
    assert white[0].image.dtype == np.uint8
    assert white[0].image.shape == (64, 64, 3)
    assert white[0].image[0, 0].tolist() == [255, 255, 255]
    assert red[0].image[0, 0].tolist() == [255, 0, 0]
    rgba = white.rgba(0)
    alpha = rgba[..., 3:] / 255
    expected = np.round(rgba[..., :3] * alpha + 255 * (1 - alpha))
    assert np.abs(expected - white[0].image).max() <= 0.5
    assert white[0].label == 0
    assert white[0].caption == "grinning face"


def test_sizes_are_derived_and_copies():
    small = Emoji("heldout", size=32)
    assert small[3].image.shape == (32, 32, 3)
    assert small.rgba(3, 48).shape == (48, 48, 4)
    assert np.abs(small.rgba(3, 64)[::2, ::2].astype(int) - small.rgba(3)).mean() < 40
    small.rgba(3)[:] = 0
    Emoji("heldout").rgba(3)[:] = 0
    assert small.rgba(3).any()
    assert Emoji("heldout").rgba(3).any()


@pytest.mark.parametrize(
    ("arguments", "named"), [({"split": "test"}, "test"), ({"language": "la"}, "la"), ({"size": 0}, "0")]
)
def test_errors_name_the_input(arguments, named):
    with pytest.raises(InputError, match=named):
        Emoji(**arguments)


def test_loads_in_under_a_second():
    code = "import time; from limner.data.emoji import Emoji as E; t = time.process_time(); E()[0]; "
    code += "print(time.process_time() - t)"
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(2)]
    assert min(float(run.stdout) for run in runs) < 1
    start = time.process_time()
    Emoji()[0]
    assert time.process_time() - start < 0.1


def test_the_script_has_the_pins_of_what_is_shipped():
    spec = importlib.util.spec_from_file_location("build_emoji", ROOT / "scripts/build_emoji.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert source() == script.PINS
    with pytest.raises(SystemExit, match="font is 0, pinned e5899"):
        script.compare({**script.PINS, "font": "0"})
    assert script.english("Antigua_&_Barbuda", "Flags") == "flag of antigua and barbuda"
    assert script.english("Côte_d’Ivoire", "Flags") == "flag of cote d'ivoire"

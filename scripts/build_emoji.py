"""Rebuild the emoji that ship with limner from the font and the lists they come from.

Inputs, pinned by SHA-256: Noto Color Emoji (Debian package ``fonts-noto-color-emoji`` 2.042), ``emoji-test.txt`` of
Unicode 15.0 (Debian package ``unicode-data``) and the names of the PyPI package ``emoji`` 2.16.0::

    pip install emoji==2.16.0
    python scripts/build_emoji.py           # writes src/limner/data/assets/emoji-*
    python scripts/build_emoji.py --check   # renders and compares with the pins, writes nothing

The script ends with an error that names whatever differs from its pin: an input, or the pixels made from the inputs.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import importlib.metadata
import io
import json
import re
import sys
import unicodedata
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont, features

SIZE = 64  # pixels of a shipped emoji
STRIKE = 109  # pixels per em of the one bitmap strike in the font
BITMAP = (136, 128)  # width and height of its bitmaps
COLUMNS = 44  # emoji per row of a sheet
RINGING = 8  # Lanczos leaves traces of opacity outside and of transparency inside; less than 8 of 255 is cut off
LANGUAGES = ("en", "es", "ja", "ko", "pt", "it", "fr", "de", "fa", "id", "zh", "ru", "tr", "ar")
PINS = {
    "font": "e5899ed38b8ed83e08bd3ac5de09791e9d19d288333a796de1d35ad17396f1ec",
    "emoji-test": "8445f23ac8388e096be19d0262e14fceff856ff52093f2356dc89485f1a853db",
    "emoji package": "2.16.0",
    "plain": "d719100e724b72c1753a25e1bb0033d5959988142160da2baa1b7fc36b0f0b75",
    "toned": "b4fc8f96be5e0a0008a1dfce60d8fdd0f23f35b76254a0f03edc5009ec4ecaa2",
}


class Row(NamedTuple):
    """One emoji of emoji-test.txt."""

    sequence: str
    group: str
    subgroup: str

    @property
    def toned(self) -> bool:
        """Does the sequence hold a skin tone modifier (U+1F3FB .. U+1F3FF)?"""
        return any("\U0001f3fb" <= character <= "\U0001f3ff" for character in self.sequence)


def read_rows(path: Path) -> list[Row]:
    """Fully-qualified emoji in the order of the list, those without skin tone first: the global index of limner."""
    rows, group, subgroup = [], "", ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("# group:"):
            group = line.partition(":")[2].strip()
        elif line.startswith("# subgroup:"):
            subgroup = line.partition(":")[2].strip()
        elif "; fully-qualified" in line:
            points = line.partition(";")[0].split()
            rows.append(Row("".join(chr(int(point, 16)) for point in points), group, subgroup))
    return sorted(rows, key=lambda row: row.toned)


def render(sequence: str, font: ImageFont.FreeTypeFont) -> np.ndarray:
    """``[64, 64, 4]`` uint8: the bitmap centred on a square, Lanczos without its ringing in the opacity; colour under
    full transparency is zero."""
    width, height = BITMAP
    if font.getbbox(sequence) != (0, 0, width, height):
        sys.exit(f"{sequence!r} is not one {width}x{height} bitmap of this font; is raqm working?")
    square = Image.new("RGBA", (width, width))
    ImageDraw.Draw(square).text((0, (width - height) // 2), sequence, font=font, embedded_color=True)
    pixels = np.array(square.resize((SIZE, SIZE), Image.Resampling.LANCZOS))
    alpha = pixels[..., 3]
    alpha[alpha > 255 - RINGING] = 255
    pixels[alpha < RINGING] = 0
    return pixels


def english(name: str, group: str) -> str:
    """Clean lower-case ASCII words: ``Antigua_&_Barbuda`` in the group Flags is "flag of antigua and barbuda"."""
    words = unicodedata.normalize("NFKD", name.replace("’", "'").replace("&", "and")).encode("ascii", "ignore").decode()
    words = re.sub(r"[^a-z0-9'#*-]+", " ", words.lower().replace(".", "")).strip()
    return f"flag of {words}" if group == "Flags" and "flag" not in words.split() else words


def read_names(rows: list[Row]) -> dict[str, list[str]]:
    """Language -> name of every row, from the PyPI package ``emoji``."""
    import emoji

    names = {}
    for language in LANGUAGES:
        emoji.config.load_language(language)
        raw = [emoji.EMOJI_DATA[row.sequence][language].strip(":") for row in rows]
        plain = [unicodedata.normalize("NFC", name.replace("_", " ")) for name in raw]
        cleaned = [english(name, row.group) for name, row in zip(raw, rows, strict=True)]
        names[language] = cleaned if language == "en" else plain
    return names


def find_duplicates(pictures: np.ndarray) -> dict[int, int]:
    """Global index -> lowest global index with the same pixels, for every emoji that is not itself the lowest."""
    first: dict[bytes, int] = {}
    twins = {index: first.setdefault(picture.tobytes(), index) for index, picture in enumerate(pictures)}
    return {index: twin for index, twin in twins.items() if twin != index}


def encode_sheet(pictures: np.ndarray) -> bytes:
    """Lossless WebP with 44 emoji per row."""
    count = -len(pictures) % COLUMNS
    padded = np.concatenate([pictures, np.zeros((count, SIZE, SIZE, 4), np.uint8)])
    cells = padded.reshape(-1, COLUMNS, SIZE, SIZE, 4).transpose(0, 2, 1, 3, 4)
    sheet = Image.fromarray(np.ascontiguousarray(cells.reshape(-1, COLUMNS * SIZE, 4)))
    file = io.BytesIO()
    sheet.save(file, "WEBP", lossless=True, exact=True, quality=100, method=6)
    return file.getvalue()


def compare(found: dict[str, str]) -> None:
    """Exit with the name of everything that differs from its pin."""
    wrong = [f"{key} is {value}, pinned {PINS[key]}" for key, value in found.items() if value != PINS[key]]
    if wrong:
        print(f"Pillow {importlib.metadata.version('pillow')}, raqm {features.version('raqm')}", file=sys.stderr)
        sys.exit("cannot rebuild the shipped emoji:\n  " + "\n  ".join(wrong))


def file_hash(path: Path, package: str) -> str:
    if not path.is_file():
        sys.exit(f"{path} is missing: install the Debian package {package} or give its place (see --help)")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write(assets: Path, rows: list[Row], sheets: dict[str, np.ndarray], source: dict[str, str]) -> None:
    """Write the table and the sheets; the slowest WebP setting takes about three minutes."""
    kinds = list(dict.fromkeys((row.group, row.subgroup) for row in rows))
    pictures = np.concatenate(list(sheets.values()))
    table = {
        "source": source,
        "plain": len(sheets["plain"]),
        "sequences": [row.sequence for row in rows],
        "kinds": kinds,
        "kind": [kinds.index((row.group, row.subgroup)) for row in rows],
        "duplicates": {str(index): twin for index, twin in find_duplicates(pictures).items()},
        "names": read_names(rows),
    }
    text = json.dumps(table, ensure_ascii=False, separators=(",", ":")).encode()
    (assets / "emoji.json.gz").write_bytes(gzip.compress(text, 9, mtime=0))
    for name, part in sheets.items():
        (assets / f"emoji-{name}.webp").write_bytes(encode_sheet(part))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--font", type=Path, default=Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"))
    parser.add_argument("--list", type=Path, default=Path("/usr/share/unicode/emoji/emoji-test.txt"))
    parser.add_argument("--assets", type=Path, default=Path(__file__).parents[1] / "src/limner/data/assets")
    parser.add_argument("--check", action="store_true", help="compare with the pins and write nothing")
    arguments = parser.parse_args()
    inputs = {
        "font": file_hash(arguments.font, "fonts-noto-color-emoji"),
        "emoji-test": file_hash(arguments.list, "unicode-data"),
        "emoji package": importlib.metadata.version("emoji"),
    }
    compare(inputs)
    rows = read_rows(arguments.list)
    font = ImageFont.truetype(str(arguments.font), STRIKE, layout_engine=ImageFont.Layout.RAQM)
    pictures = np.stack([render(row.sequence, font) for row in rows])
    plain = sum(not row.toned for row in rows)
    sheets = {"plain": pictures[:plain], "toned": pictures[plain:]}
    pixels = {name: hashlib.sha256(part.tobytes()).hexdigest() for name, part in sheets.items()}
    compare(pixels)
    print("\n".join(f"{key}: {value}" for key, value in (inputs | pixels).items()))
    if not arguments.check:
        write(arguments.assets, rows, sheets, inputs | pixels)


if __name__ == "__main__":
    main()

"""What a model reads in a picture, as a page to look at: the picture, and beside it the word of every patch.

Neighbouring patches with the same word are one region with one label. The stronger the word, the stronger its ink and
ground; words that are colours stand on their own colour, the other frequent ones on a pale tint of their own. Below,
the words that weigh most in the whole picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from limner.data.scenes.render import RGB
from limner.pictures import EDGE, INK, PAPER, Rgb
from limner.unified.regions import Region, regions, roomiest
from limner.unified.words import PatchWords

SIDE = 720  # pixels of the picture, or more where patches are many
CELL = 60  # least pixels of a patch
MARGIN = 32
GAP = 2  # half of what lies between regions
PADDING = 16  # between a label and both edges of its region
LISTED = 8  # words below
LINE = 25  # pixels from line to line of them
NOTED = 0.15  # other words of a region are named from this share of its first
LARGEST, SMALLEST = 44, 10  # pixels of letters
GREY: Rgb = (128, 128, 136)
FAINT: Rgb = (214, 214, 220)
OUTLINE = (110, 110, 125, 90)
NAMED: Mapping[str, Rgb] = RGB | {"white": (255, 255, 255), "grey": (150, 150, 150)}
TINTS: tuple[Rgb, ...] = (
    (150, 178, 212),
    (218, 186, 146),
    (158, 200, 166),
    (212, 164, 190),
    (204, 200, 136),
    (142, 200, 206),
    (190, 172, 216),
    (180, 172, 164),
)


def words_page(
    picture: UInt8[np.ndarray, "h w 3"], read: PatchWords, answer: str = "", question: str = ""
) -> Image.Image:
    """The page of a square picture.

    Args:
        picture: as the model sees it.
        read: its words.
        answer, question: the model's answer, and to what; left out if empty.
    """
    cell = max(SIDE // max(read.grid), CELL)
    height, width = (cell * count for count in read.grid)
    tints = _tints(read)
    page = Image.new("RGB", (2 * width + 3 * MARGIN, 8 * height), PAPER)
    draw = ImageDraw.Draw(page)
    top = _head(draw, question, answer, 2 * width + MARGIN)
    page.paste(_outlined(picture, read, cell), (MARGIN, top))
    draw.rectangle((MARGIN - 1, top - 1, MARGIN + width, top + height), outline=EDGE)
    page.paste(word_map(read, cell), (2 * MARGIN + width, top))
    end = _foot(draw, read, tints, top + height + MARGIN // 2, width)
    return page.crop((0, 0, page.width, end + MARGIN))


def _outlined(picture: UInt8[np.ndarray, "h w 3"], read: PatchWords, cell: int) -> Image.Image:
    """The picture enlarged, pixels crisp, with the edges of regions drawn in."""
    rows, columns = read.grid
    large = Image.fromarray(picture).resize((columns * cell, rows * cell), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(large, "RGBA")
    for row in range(rows):
        for column in range(columns):
            word = read.patches[row][column][0].word
            x, y = column * cell, row * cell
            if column and read.patches[row][column - 1][0].word != word:
                draw.line((x, y, x, y + cell), fill=OUTLINE)
            if row and read.patches[row - 1][column][0].word != word:
                draw.line((x, y, x + cell, y), fill=OUTLINE)
    return large


def word_map(read: PatchWords, cell: int) -> Image.Image:
    """Patches of ``cell`` pixels, region by region."""
    rows, columns = read.grid
    page = Image.new("RGB", (columns * cell, rows * cell), PAPER)
    draw, tints = ImageDraw.Draw(page), _tints(read)
    found = regions(read)
    most = max(region.weight for region in found)
    for region in found:
        ground = _mixed(PAPER, tints.get(region.word, FAINT), 0.2 + 0.8 * _share(region.weight, most))
        for row, column in region.cells:
            draw.rectangle(_inset(region, row, column, cell), fill=ground)
        _label(draw, region, read.number(region.weight), ground, _share(region.weight, most), cell)
    return page


def _tints(read: PatchWords) -> dict[str, Rgb]:
    """Colours of words: their own, and of the heaviest others pale ones."""
    words = [word for word, _ in read.heaviest(1000) if any(letter.isalpha() for letter in word)]
    plain = [word for word in words if word not in NAMED][: len(TINTS)]
    return {word: NAMED[word] for word in words if word in NAMED} | dict(zip(plain, TINTS, strict=False))


def _inset(region: Region, row: int, column: int, cell: int) -> tuple[int, int, int, int]:
    """A patch's box, drawn in where its neighbour is of another region."""
    out = [(row, column - 1), (row - 1, column), (row, column + 1), (row + 1, column)]
    left, up, right, down = (0 if near in region.cells else GAP for near in out)
    return column * cell + left, row * cell + up, (column + 1) * cell - 1 - right, (row + 1) * cell - 1 - down


def _label(draw: ImageDraw.ImageDraw, region: Region, number: str, ground: Rgb, share: float, cell: int) -> None:
    """The word and its weight, and where there is room other words of the region."""
    text, ink = _spelled(region.word), _ink(ground)
    ems = _font(100).getlength(text) / 100
    room = roomiest(region, ems, LARGEST / cell)
    wide, high = room.columns * cell - PADDING, room.rows * cell - PADDING
    size = int(min((0.55 + 0.45 * share) * LARGEST, high / 2, wide / ems))
    if size < SMALLEST:
        return
    small = max(SMALLEST, round(0.45 * size))
    also = [word for word, weight in region.words[1:] if word.isalpha() and weight > NOTED * region.weight]
    others = also[:2] if room.rows > 1 else []
    lines = [number, *others]
    lines = [line for line in lines if _font(small).getlength(line) <= wide][: int((high - 1.2 * size) / (1.3 * small))]
    x = (room.column + room.columns / 2) * cell
    y = (room.row + room.rows / 2) * cell - (1.2 * size + 1.3 * small * len(lines)) / 2
    draw.text((x, y), text, _mixed(ground, ink, 0.6 + 0.4 * share), _font(size), anchor="ma")
    for index, line in enumerate(lines):
        place = (x, y + 1.2 * size + 1.3 * small * index)
        draw.text(place, line, _mixed(ground, ink, 0.55 if index else 0.7), _font(small), anchor="ma")


def _head(draw: ImageDraw.ImageDraw, question: str, answer: str, width: int) -> int:
    """Question and answer; where they end."""
    top = MARGIN
    for text, size, ink in ((question, 17, GREY), (answer, 28, INK)):
        for line in _lines(text, _font(size), width):
            draw.text((MARGIN, top), line, ink, _font(size))
            top += round(1.35 * size)
    return top + (MARGIN // 2 if top > MARGIN else 0)


def _foot(draw: ImageDraw.ImageDraw, read: PatchWords, tints: Mapping[str, Rgb], top: int, width: int) -> int:
    """The heaviest words of the picture as bars, and how to read the page; where they end."""
    listed, font, right = read.heaviest(LISTED), _font(15), 2 * MARGIN + width
    most, half, rows = max(weight for _, weight in listed), (width - MARGIN) // 2, -(-len(listed) // 2)
    draw.text((MARGIN, top), "In the whole picture", INK, _font(17))
    draw.text((right, top), "How to read it", INK, _font(17))
    top += round(1.2 * LINE)
    for number, (word, weight) in enumerate(listed):
        x, y = MARGIN + number // rows * (half + MARGIN), top + number % rows * LINE
        tint, start, full = tints.get(word, FAINT), x + 130, half - 190
        draw.rectangle((x, y + 3, x + 13, y + 16), fill=tint, outline=EDGE)
        draw.text((x + 22, y), _spelled(word), INK, font)
        draw.rectangle((start, y + 6, start + max(1, round(full * _share(weight, most))), y + 13), fill=tint)
        draw.text((x + half, y), read.number(weight), GREY, font, anchor="ra")
    lines = [line for text in _explained(read) for line in _lines(text, font, width)]
    for number, text in enumerate(lines):
        draw.text((right, top + number * LINE), text, GREY, font)
    return top + LINE * max(rows, len(lines))


def _explained(read: PatchWords) -> tuple[str, str]:
    rows, columns = read.grid
    if read.reading == "mixture":
        how = (
            "Each of the {} patches enters the language model as a mixture of its words. A label is the heaviest word "
        )
        how += "of a patch, and its share of the mixture."
    else:
        how = "A label is the word nearest to the vector of a patch, one of {}, as the language model is given it, and "
        how += "the cosine between the two."
    return how.format(rows * columns), "Neighbours with the same word are one region, with their mean."


def _spelled(word: str) -> str:
    return word if any(letter.isalnum() for letter in word) else f'"{word}"'


def _share(weight: float, most: float) -> float:
    return max(0.0, weight / most) if most > 0 else 0.0


def _mixed(ground: Rgb, ink: Rgb, share: float) -> Rgb:
    red, green, blue = (round(g + (i - g) * share) for g, i in zip(ground, ink, strict=True))
    return red, green, blue


def _ink(ground: Rgb) -> Rgb:
    """Dark on light and light on dark, by luma (ITU-R BT.601)."""
    red, green, blue = ground
    return INK if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else PAPER


def _font(size: int) -> Any:
    return ImageFont.load_default(size)


def _lines(text: str, font: Any, width: int) -> Sequence[str]:
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines

"""How large the frames of an AVIF file are, whatever its container says: read from the sequence headers of AV1.

The places of coded data are the extents of ``iloc`` (ISO/IEC 14496-12, 8.11.3) and the chunks of ``stco`` and ``co64``
(8.7.5); the size is ``max_frame_width_minus_1`` and ``max_frame_height_minus_1`` of the AV1 specification, 5.5.1.
"""

from __future__ import annotations

from collections.abc import Iterator

SEQUENCE, DELIMITER = 1, 2  # types of open bitstream units
MOST = 4096  # places that are read
HEADER = 128  # bytes of a place that are read: a sequence header takes about 12


class Bits:
    """Bytes as numbers of any number of bits, the first bit first; zeros behind their end."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = int.from_bytes(data), 8 * len(data)

    def read(self, count: int) -> int:
        """The next ``count`` bits."""
        self.at -= count
        value = self.data >> self.at if self.at >= 0 else self.data << -self.at
        return value & ((1 << count) - 1)

    def skip_variable(self) -> None:
        """A number of variable length (4.10.3)."""
        zeros = 0
        while zeros < 32 and self.at > 0 and not self.read(1):
            zeros += 1
        self.read(zeros)


def frame_pixels(data: bytes) -> int:
    """Pixels of the largest frame of an AVIF file; 0 if none is found."""
    sizes = (_frame(data[place : place + HEADER]) for place in _places(data))
    return max((width * height for width, height in sizes), default=0)


def _places(data: bytes) -> Iterator[int]:
    """Where coded data may begin."""
    for tag, read in ((b"iloc", _extents), (b"stco", _chunks), (b"co64", _chunks)):
        at = data.find(tag)
        while at >= 0:
            yield from read(data, at)
            at = data.find(tag, at + 4)


def _extents(data: bytes, at: int) -> Iterator[int]:
    version, bits = data[at + 4 : at + 5], Bits(data[at + 8 : at + 8 + 16 * MOST])
    wide, inside = version == b"\2", data.find(b"idat") + 4
    offset_size, length_size, base_size, index_size = (8 * bits.read(4) for _ in range(4))
    count = bits.read(32 if wide else 16)
    for _ in range(min(count, MOST)):
        bits.read(32 if wide else 16)  # number of the item
        method = bits.read(16 if version in (b"\1", b"\2") else 0) & 15  # 1: offsets are counted from ``idat``
        bits.read(16)
        base, extents = bits.read(base_size), bits.read(16)
        for number in range(min(extents, MOST)):
            bits.read(index_size if version in (b"\1", b"\2") else 0)
            offset = bits.read(offset_size)
            bits.read(length_size)
            if not number:
                yield base + offset + (inside if method == 1 else 0)
        if bits.at <= 0:
            return


def _chunks(data: bytes, at: int) -> Iterator[int]:
    width = 8 if data[at : at + 4] == b"co64" else 4
    count = int.from_bytes(data[at + 8 : at + 12])
    for start in range(at + 12, at + 12 + width * min(count, MOST), width):
        yield int.from_bytes(data[start : start + width])


def _frame(data: bytes) -> tuple[int, int]:
    """Width and height that a sequence header at the beginning of these units allows; (0, 0) if there is none."""
    at = 0
    while at + 1 < len(data):
        kind, extended, sized = data[at] >> 3 & 15, data[at] >> 2 & 1, data[at] >> 1 & 1
        if data[at] & 0x81 or not sized or kind not in (SEQUENCE, DELIMITER):
            break
        at += 1 + extended
        size, shift = 0, 0
        while at < len(data):
            byte, at = data[at], at + 1
            size |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        if kind == SEQUENCE:
            return _sequence(Bits(data[at : at + size]))
        at += size
    return 0, 0


def _sequence(bits: Bits) -> tuple[int, int]:
    bits.read(4)  # profile, still picture
    if bits.read(1):
        bits.read(5)  # the header of a still picture has a level alone
    else:
        _operating_points(bits)
    width_bits, height_bits = bits.read(4) + 1, bits.read(4) + 1
    return bits.read(width_bits) + 1, bits.read(height_bits) + 1


def _operating_points(bits: Bits) -> None:
    delay = 0
    if bits.read(1):  # timing
        bits.read(64)
        if bits.read(1):
            bits.skip_variable()
        if bits.read(1):  # a model of the decoder
            delay = bits.read(5) + 1
            bits.read(42)
    displayed = bits.read(1)
    for _ in range(bits.read(5) + 1):
        bits.read(12)
        if bits.read(5) > 7:
            bits.read(1)
        if delay and bits.read(1):
            bits.read(2 * delay + 1)
        if displayed and bits.read(1):
            bits.read(4)

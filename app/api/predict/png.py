"""Writes PNG files of one channel: grey of 8 or 16 bits, or 8 bits with a palette (https://www.w3.org/TR/png-3/).

By zlib rather than Pillow, which takes several times as long (docs/decisions/0013-png-by-zlib.md).
"""

import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

MEDIA_TYPE = "image/png"

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _PALETTE = 0, 3  # colour types
_UP = 2  # the filter that stores each line as its difference to the one above


def write(pixels: NDArray[Any], palette: bytes | None = None) -> bytes:
    """Writes pixels [H, W], uint8 or uint16, as a PNG file of as many bits.

    Args:
        palette: red, green and blue of each value that pixels of 8 bits have; without it they are grey.
    """
    height, width = pixels.shape
    bits = 8 * pixels.itemsize
    head = struct.pack(">IIBBBBB", width, height, bits, _GREY if palette is None else _PALETTE, 0, 0, 0)
    parts = [_SIGNATURE, *_chunk(b"IHDR", head)]
    if palette is not None:
        parts += _chunk(b"PLTE", palette)
    parts += [*_chunk(b"IDAT", _packed(pixels)), *_chunk(b"IEND", b"")]
    return b"".join(parts)


def _packed(pixels: NDArray[Any]) -> bytes:
    """The lines, filtered and compressed."""
    octets = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder(">")).view(np.uint8)
    lines = np.empty((len(octets), 1 + octets.shape[1]), np.uint8)
    lines[:, 0] = _UP
    lines[0, 1:] = octets[0]
    np.subtract(octets[1:], octets[:-1], out=lines[1:, 1:])
    # runs of equal bytes alone: a search for matches takes twice as long on 16 bits and saves at most a fortieth
    packer = zlib.compressobj(level=1, strategy=zlib.Z_RLE)
    return packer.compress(lines.data) + packer.flush()


def _chunk(kind: bytes, data: bytes) -> tuple[bytes, ...]:
    """Length, kind, data and checksum."""
    return struct.pack(">I", len(data)), kind, data, struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from models.data import DatasetError
from models.data.idx import read_idx

PIXELS = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
GOOD = struct.pack(">4I", 0x803, 2, 3, 4) + PIXELS.tobytes()


@pytest.mark.parametrize("content", [GOOD, gzip.compress(GOOD, mtime=0)], ids=["plain", "gzip"])
def test_reads_plain_and_gzipped(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    assert (read_idx(tmp_path / "file", (None, 3, 4)) == PIXELS).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (GOOD[:-1], "needs 24 bytes of data, there are 23"),
        (GOOD + b"x", "needs 24 bytes of data, there are 25"),
        (GOOD[:7], "truncated within its header"),
        (gzip.compress(GOOD, mtime=0)[:-9], "truncated or damaged gzip"),
        (b"\x89PNG\r\n", "not an IDX file"),
        (b"", "not an IDX file"),
        (struct.pack(">2I", 0x801, 2) + b"ab", "says type 0x08 on 1 axes"),
        (struct.pack(">4I", 0xD03, 2, 3, 4), "says type 0x0d on 3 axes"),
        (struct.pack(">4I", 0x803, 2, 4, 3) + bytes(24), r"expected shape \[any, 3, 4\], the header says \[2, 4, 3\]"),
    ],
)
def test_a_file_that_is_truncated_or_in_another_format_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(DatasetError, match=message) as error:
        read_idx(tmp_path / "file", (None, 3, 4))
    assert str(tmp_path / "file") in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such file or directory"):
        read_idx(tmp_path / "file", (None,))

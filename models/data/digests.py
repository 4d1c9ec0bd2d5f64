"""What tells data apart: SHA-256, in hex, of arrays, of files by what they hold, and of files that are too many to read
by their names and sizes. No torch here."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from models.data.dataset import Lazy, Split


def rows_digest(rows: "NDArray[Any] | Lazy") -> str:
    """Of dtype, shape and values; rows that are read when they are needed say theirs themselves."""
    if not isinstance(rows, np.ndarray):
        return rows.digest
    found = hashlib.sha256(f"{rows.dtype.str} {rows.shape} ".encode())
    found.update(np.ascontiguousarray(rows).data.cast("B") if rows.size else b"")
    return found.hexdigest()


def split_digest(split: "Split") -> str:
    """Of inputs and labels."""
    return text_digest(rows_digest(split.inputs), rows_digest(split.labels))


def contents_digest(paths: Iterable[Path]) -> str:
    """Of the names and the contents of files, in any order."""
    parts = []
    for path in sorted(paths):
        with path.open("rb") as file:
            parts.append(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}")
    return text_digest(*parts)


def listing_digest(paths: Iterable[Path]) -> str:
    """Of files in their order: each one's name, its folder's name, and its size."""
    return text_digest(*(f"{path.parent.name}/{path.name} {path.stat().st_size}" for path in paths))


def text_digest(*parts: str) -> str:
    """Of texts one after the other."""
    found = hashlib.sha256()
    for part in parts:
        found.update(f"{part}\n".encode())
    return found.hexdigest()

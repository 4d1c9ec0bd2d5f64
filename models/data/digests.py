"""SHA-256 digests, in hex, that identify data: arrays and files by content, or many files by name and size. No torch
here."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from models.data.dataset import Lazy, Split


def rows_digest(rows: "NDArray[Any] | Lazy") -> str:
    """Digest of dtype, shape and values; lazy rows have a digest of their own."""
    if not isinstance(rows, np.ndarray):
        return rows.digest
    # equal bytes of another dtype or shape are other rows
    found = hashlib.sha256(f"{rows.dtype.str} {rows.shape} ".encode())
    found.update(np.ascontiguousarray(rows).data.cast("B") if rows.size else b"")
    return found.hexdigest()


def split_digest(split: "Split") -> str:
    """Digest of inputs and labels."""
    return text_digest(*_digests(split.inputs), *_digests(split.labels))


def contents_digest(paths: Iterable[Path]) -> str:
    """Digest of the names and contents of files, in any order."""
    parts = []
    for path in sorted(paths):
        with path.open("rb") as file:
            parts.append(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}")
    return text_digest(*parts)


def listing_digest(paths: Iterable[Path]) -> str:
    """Digest of files in order: each one's name, its folder's name, and its size."""
    return text_digest(*(f"{path.parent.name}/{path.name} {path.stat().st_size}" for path in paths))


def text_digest(*parts: str) -> str:
    """Digest of a sequence of texts."""
    found = hashlib.sha256()
    for part in parts:
        found.update(f"{part}\n".encode())
    return found.hexdigest()


def _digests(arrays: Any) -> list[str]:
    """Of an array, or of several with their names."""
    if not isinstance(arrays, Mapping):
        return [rows_digest(arrays)]
    return [part for name in sorted(arrays) for part in (name, rows_digest(arrays[name]))]

"""Keeps results until something they depend on changes, and reports what has changed."""

import json
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import onnxruntime

FORMAT = 2
"""Format of kept files. Raise it when a figure changes its meaning but not its name."""

_LIBRARIES = ("numpy", "onnx", "onnxscript", "pillow", "scikit-learn", "scipy", "torch", "torchmetrics")

_ABSENT = "absent"


@cache
def versions() -> dict[str, str]:
    """Versions of the libraries that affect the last digits of a figure, and of our own format."""
    # onnxruntime by its module: the package may be onnxruntime or onnxruntime-gpu
    found = {name: version(name) for name in _LIBRARIES}
    return found | {"onnxruntime": onnxruntime.__version__, "format": str(FORMAT)}


def read(path: Path) -> dict[str, Any]:
    """The values in a file, without their key."""
    return {name: value for name, value in json.loads(path.read_text()).items() if name != "key"}


class Kept:
    """A JSON file with values and a key: everything that the values depend on.

    Args:
        key: JSON-compatible; the values are valid for this key only.
    """

    def __init__(self, path: Path, key: Mapping[str, Any]) -> None:
        self._path = path
        self._key = _plain(key)
        self._found = json.loads(path.read_text()) if path.exists() else None

    @property
    def fresh(self) -> bool:
        """Whether there are values for this key."""
        return self._found is not None and self._found.get("key") == self._key

    @property
    def why_not(self) -> str | None:
        """What has changed since they were written; None if they are fresh or were never written."""
        if self._found is None or self.fresh:
            return None
        return difference(self._found.get("key", {}), self._key)

    def write(self, values: Mapping[str, Any]) -> None:
        """Writes atomically: a reader finds the old file or the new one."""
        self._found = _plain({**values, "key": self._key})
        part = self._path.with_suffix(".part")
        part.write_text(json.dumps(self._found))
        part.replace(self._path)

    def remove(self) -> None:
        """Removes the file, so that values that are being replaced are not taken for complete."""
        self._path.unlink(missing_ok=True)
        self._found = None


def difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Each part that differs between two keys, as it was and as it is; digests are shortened."""
    old, new = _flat(before), _flat(now)
    parts = [
        f"{name} was {_short(old.get(name, _ABSENT))}, is {_short(new.get(name, _ABSENT))}"
        for name in {**old, **new}
        if old.get(name, _ABSENT) != new.get(name, _ABSENT)
    ]
    return "; ".join(parts)


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    if isinstance(value, dict | list) and (value or not name):
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        return {
            key: leaf
            for part, each in inner
            for key, leaf in _flat(each, f"{name}.{part}" if name else str(part)).items()
        }
    return {name: value}  # an empty list is a value, too


def _short(value: Any) -> str:
    return "none" if value is None else f"{value[:8]}…" if isinstance(value, str) and len(value) == 64 else f"{value}"


def _plain(value: Mapping[str, Any]) -> dict[str, Any]:
    # tuples become lists, as they are read back: otherwise no key would equal the one in its file
    return json.loads(json.dumps(value))  # type: ignore[no-any-return]

"""What is done is not done again, as long as nothing that it depends on has changed. What has changed is told."""

import json
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import onnxruntime

FORMAT = 1
"""Of what is kept. Raise it when figures of the same name come to mean something else."""

_LIBRARIES = ("numpy", "onnx", "onnxscript", "pillow", "scikit-learn", "scipy", "torch", "torchmetrics")

_ABSENT = "absent"


@cache
def versions() -> dict[str, str]:
    """Of the libraries that decide the last digits of a figure, and of our own format."""
    found = {name: version(name) for name in _LIBRARIES}
    return found | {"onnxruntime": onnxruntime.__version__, "format": str(FORMAT)}


def read(path: Path) -> dict[str, Any]:
    """The values that a file keeps, without their key."""
    return {name: value for name, value in json.loads(path.read_text()).items() if name != "key"}


class Kept:
    """A JSON file with a key: everything that its values depend on.

    Args:
        key: as JSON could hold it; the values are those of this key alone.
    """

    def __init__(self, path: Path, key: Mapping[str, Any]) -> None:
        self._path = path
        self._key = _plain(key)
        self._found = json.loads(path.read_text()) if path.exists() else None

    @property
    def fresh(self) -> bool:
        """Whether the values are there, and of this key."""
        return self._found is not None and self._found.get("key") == self._key

    @property
    def why_not(self) -> str | None:
        """What has changed since they were written; None where they are fresh, or were never written."""
        if self._found is None or self.fresh:
            return None
        return difference(self._found.get("key", {}), self._key)

    def write(self, values: Mapping[str, Any]) -> None:
        """All at once: a reader finds the old file or the new one."""
        self._found = _plain({**values, "key": self._key})
        part = self._path.with_suffix(".part")
        part.write_text(json.dumps(self._found))
        part.replace(self._path)

    def remove(self) -> None:
        """So that values which are being replaced are not taken for whole."""
        self._path.unlink(missing_ok=True)
        self._found = None


def difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Two keys that differ: each part that does, as it was and as it is; digests are cut short."""
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
    return {name: value}


def _short(value: Any) -> str:
    return "none" if value is None else f"{value[:8]}…" if isinstance(value, str) and len(value) == 64 else f"{value}"


def _plain(value: Mapping[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(value))  # type: ignore[no-any-return]

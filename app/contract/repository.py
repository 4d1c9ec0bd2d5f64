"""Names of models, numbers of versions, and where they lie: `<repository>/<name>/<version>/model.onnx`."""

import re
from pathlib import Path

MODEL_FILE = "model.onnx"
DEVICES = ("cpu", "cuda")
METADATA_KEY = "masksembles"
TEMPERATURE = "temperature"
"""The initializer that divides the logits; recalibration replaces its value."""

NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
"""What every name of a model matches as a whole."""
HIGHEST_VERSION = 999_999_999

VERSION_PATTERN = r"[1-9][0-9]{0,8}"

_NAME = re.compile(NAME_PATTERN)
_VERSION = re.compile(VERSION_PATTERN)


def check_name(name: str) -> str:
    """The name itself.

    Raises:
        ValueError: it is no model name.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is not a model name: expected 1 to 128 letters, digits, dots, underscores or hyphens, "
            "a letter or digit first"
        )
    return name


def parse_version(text: str) -> int:
    """A version as a number.

    Raises:
        ValueError: it is not a whole number from 1 to 999999999 without leading zeros.
    """
    if not _VERSION.fullmatch(text):
        raise ValueError(f"{text!r} is not a version: expected a whole number, 1 or more")
    return int(text)


def parse_reference(text: str) -> tuple[str, int]:
    """`name:version` → (name, version).

    Raises:
        ValueError: either part is not what it should be.
    """
    name, colon, version = text.partition(":")
    if not colon:
        raise ValueError(f"{text!r} is not a model and version: expected name:version, such as digits:3")
    return check_name(name), parse_version(version)


def model_path(repository: Path, name: str, version: int) -> Path:
    """Where the portable artefact of a version lies."""
    return repository / name / str(version) / MODEL_FILE


def plan_path(repository: Path, name: str, version: int, device: str) -> Path:
    """Where the plan for one kind of device lies, `cpu` or `cuda`, if a version has one: a faster form of the same."""
    return repository / name / str(version) / f"model.{device}.onnx"


def list_models(repository: Path) -> list[str]:
    """The models that a repository has a folder for, sorted; anything else in it is passed over."""
    return sorted(path.name for path in repository.iterdir() if path.is_dir() and _NAME.fullmatch(path.name))


def list_versions(repository: Path, name: str) -> list[int]:
    """The versions that a model has a folder for, lowest first; none where there is no such model."""
    folder = repository / name
    if not folder.is_dir():
        return []
    return sorted(int(path.name) for path in folder.iterdir() if path.is_dir() and _VERSION.fullmatch(path.name))

"""Names of models, numbers of versions, and where they lie: `<repository>/<name>/<version>/model.onnx`."""

import re
import stat
from pathlib import Path

MODEL_FILE = "model.onnx"
DEVICES = ("cpu", "cuda")
METADATA_KEY = "masksembles"
TEMPERATURE = "temperature"
"""The initializer that the logits are divided by; recalibration replaces its value."""

NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
"""The pattern that a whole model name matches: no slash and no dot first, so a name cannot leave the repository."""
HIGHEST_VERSION = 999_999_999

VERSION_PATTERN = r"[1-9][0-9]{0,8}"  # without leading zeros: each version has one folder

# both for fullmatch: $ would match before a line end, too
_NAME = re.compile(NAME_PATTERN)
_VERSION = re.compile(VERSION_PATTERN)


def check_name(name: str) -> str:
    """The name itself.

    Raises:
        ValueError: it is not a model name.
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
        ValueError: the text has no colon, or a part is invalid.
    """
    name, colon, version = text.partition(":")
    if not colon:
        raise ValueError(f"{text!r} is not a model and version: expected name:version, such as digits:3")
    return check_name(name), parse_version(version)


def model_path(repository: Path, name: str, version: int) -> Path:
    """Where the portable artefact of a version lies."""
    return repository / name / str(version) / MODEL_FILE


def plan_path(repository: Path, name: str, version: int, device: str) -> Path:
    """Where a version's plan for `cpu` or `cuda` lies, if it has one: a faster form of the same model."""
    return repository / name / str(version) / f"model.{device}.onnx"


def list_models(repository: Path) -> list[str]:
    """The models that have a folder in a repository, or a link to one, sorted; ignores anything else.

    Raises:
        OSError: the repository cannot be read.
    """
    return sorted(path.name for path in repository.iterdir() if _NAME.fullmatch(path.name) and _is_folder(path))


def list_versions(repository: Path, name: str) -> list[int]:
    """The versions that have a folder, or a link to one, lowest first; empty if there is no such model.

    Raises:
        OSError: the model's folder cannot be read, or is a link that leads nowhere.
    """
    folder = repository / name
    try:
        paths = list(folder.iterdir())
    except NotADirectoryError:
        return []
    except FileNotFoundError:
        if folder.is_symlink():  # its target was deleted, and it may be re-pointed in a moment
            raise
        return []
    return sorted(int(path.name) for path in paths if _VERSION.fullmatch(path.name) and _is_folder(path))


def _is_folder(path: Path) -> bool:
    """Whether it is a folder or a link to one. What cannot be examined now may be one: it must not seem to be gone."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except FileNotFoundError:
        return path.is_symlink()
    except OSError:
        return True

"""What lies in the repository's folder at one moment, as far as that can be said without reading files."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from app.contract.repository import list_models, list_versions, model_path, plan_path
from app.engine.stamp import FileStamp

_MOST_TRIES = 3

Identity = tuple[int, int]
"""Device and inode of a folder: changes when a link to it is re-pointed, or a file system mounted or unmounted."""


@dataclass(frozen=True)
class VersionListing:
    """The files of a version; None for a stamp that cannot be had now."""

    portable: FileStamp | None
    plan: FileStamp | None


@dataclass(frozen=True)
class Listing:
    """The models with a folder, the versions of those that could be read, and why the others could not."""

    identity: Identity
    names: frozenset[str]
    versions: Mapping[str, Mapping[int, VersionListing]]
    unreadable: Mapping[str, str]


def list_repository(folder: Path, device: str, only: str | None = None) -> Listing:
    """Lists the versions, and of each the portable file and the plan for a device.

    Links are followed with every look and never resolved for good: they are re-pointed, and those below `/proc` do not
    lead to where they say. A listing during which a link was re-pointed would mix two states, so it is made again.

    Args:
        only: list the versions of this model alone.

    Raises:
        OSError: the folder cannot be read.
    """
    tries = 0
    while True:
        tries += 1
        before = _identity(folder)
        names = list_models(folder)
        chosen = names if only is None else [name for name in names if name == only]
        versions, unreadable, steady = {}, {}, True
        for name in chosen:
            try:
                model = _identity(folder / name)
                versions[name] = {
                    number: _files(folder, device, name, number) for number in list_versions(folder, name)
                }
                steady = steady and _identity(folder / name) == model
            except OSError as error:
                unreadable[name] = error.strerror or str(error)
        if tries == _MOST_TRIES or (steady and _identity(folder) == before):
            return Listing(before, frozenset(names), versions, unreadable)


def _identity(folder: Path) -> Identity:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _files(folder: Path, device: str, name: str, number: int) -> VersionListing:
    return VersionListing(_stamp(model_path(folder, name, number)), _stamp(plan_path(folder, name, number, device)))


def _stamp(path: Path) -> FileStamp | None:
    try:
        return FileStamp.of(path)
    except OSError:
        return None

"""What lies in a store's folder, and what verification made of it; files that did not change are not read again."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from app.contract import schema
from app.contract.repository import METADATA_KEY, list_models, list_versions, model_path, plan_path
from app.contract.signature import Signature
from app.engine.verifier import Verdict, verify
from app.errors import ModelRejected

_log = logging.getLogger(__name__)

Stamp = tuple[tuple[str, int, int, int], ...]
"""Of each file its name, and when and where it was last written, in which size."""
Stamped = tuple[str, int, Stamp]


@dataclass(frozen=True)
class ScannedVersion:
    """A version as it lies on disk: fit to be loaded, or rejected and why."""

    name: str
    number: int
    stamp: Stamp
    """Tells whether any of its files was touched since."""
    rejected: str | None = None
    path: Path = Path()
    """The file to load: the plan for the device where there is one."""
    declared: schema.Contract | Signature | None = None
    digests: tuple[str, ...] = ()
    """The SHA-256 of each of its files, that of `path` last."""

    @property
    def stamped(self) -> Stamped:
        """The same for as long as nobody touches it."""
        return self.name, self.number, self.stamp


class RepositoryScanner:
    """The versions in a folder, for one kind of device.

    Args:
        folder: that holds `<name>/<version>/model.onnx`, and beside it plans for devices, which are preferred there.
        device: the kind, `cpu` or `cuda`.
        plain: whether files without a contract are fit, too.

    Raises:
        OSError: the folder cannot be read.
    """

    def __init__(self, folder: Path, device: str, *, plain: bool = False) -> None:
        self._folder = folder.resolve()
        self._device = device
        self._plain = plain
        self._known: dict[tuple[str, int], ScannedVersion] = {}
        self._seen: dict[tuple[str, int], Stamp] = {}
        self.unreadable: dict[str, str] = {}
        """The models whose folder cannot be read, and why."""
        list_models(self._folder)

    def look(self, *, settled: bool = False) -> dict[str, list[ScannedVersion]]:
        """Every model with its versions, lowest first.

        Args:
            settled: leave what has changed since the last look for the next one: it may still be being written.

        Raises:
            OSError: the folder cannot be read.
        """
        found = {name: self._files(name) for name in list_models(self._folder)}
        self._known = {key: entry for key, entry in self._known.items() if key[1] in found.get(key[0], {})}
        self._seen = {key: stamp for key, stamp in self._seen.items() if key[1] in found.get(key[0], {})}
        new: dict[tuple[str, int], tuple[Stamp, list[Path]]] = {}
        for name, versions in found.items():
            for number, paths in versions.items():
                key, stamp = (name, number), _stamp(paths)
                if settled and self._seen.get(key) != stamp:
                    self._seen[key] = stamp
                elif key not in self._known or self._known[key].stamp != stamp:
                    new[key] = (stamp, paths)
        verdicts = verify(path for _, paths in new.values() for path in paths) if new else {}
        for (name, number), (stamp, paths) in new.items():
            self._seen[name, number] = stamp
            self._known[name, number] = self._entry(name, number, stamp, {path: verdicts[path] for path in paths})
        return {
            name: [self._known[name, number] for number in sorted(versions) if (name, number) in self._known]
            for name, versions in found.items()
        }

    def forget_refused(self, name: str) -> None:
        """Has the rejected versions of a model read again at the next look: what was in the way may be gone."""
        self._known = {key: entry for key, entry in self._known.items() if key[0] != name or entry.rejected is None}

    def has(self, name: str) -> bool:
        """Whether the folder holds a folder of that name, the name of a model."""
        try:
            return name in list_models(self._folder)
        except OSError:
            return False

    def _entry(self, name: str, number: int, stamp: Stamp, files: dict[Path, Verdict]) -> ScannedVersion:
        try:
            path, declared = self._choose(files)
        except ModelRejected as error:
            _log.error("%s:%d rejected: %s", name, number, error)
            return ScannedVersion(name, number, stamp, rejected=str(error))
        digests = tuple(verdict.digest or "" for verdict in files.values())
        return ScannedVersion(name, number, stamp, path=path, declared=declared, digests=digests)

    def _choose(self, files: dict[Path, Verdict]) -> tuple[Path, schema.Contract | Signature]:
        """The last file of a version, and what it declares, when all of its files are sound and hold the same model."""
        chosen: tuple[Path, schema.Contract | Signature] | None = None
        for path, verdict in files.items():
            if verdict.declared is None:
                raise ModelRejected(f"{path.name}: {verdict.rejected}" if chosen else verdict.rejected)
            if isinstance(verdict.declared, Signature) and not self._plain:
                raise ModelRejected(
                    f"has no contract (metadata key {METADATA_KEY!r}); with MASKSEMBLES_ALLOW_BARE_ONNX=true it is "
                    "served, through /v2 alone"
                )
            if chosen and not _same(verdict.declared, chosen[1]):
                raise ModelRejected(f"{path.name}: its contract is not that of {chosen[0].name}")
            chosen = (path, verdict.declared)
        if chosen is None:
            raise ModelRejected("has no file")
        return chosen

    def _files(self, name: str) -> dict[int, list[Path]]:
        """The files of each version: the portable one, and after it the plan for this device, where there is one."""
        try:
            files = {
                number: [
                    model_path(self._folder, name, number),
                    *filter(Path.exists, [plan_path(self._folder, name, number, self._device)]),
                ]
                for number in list_versions(self._folder, name)
            }
        except OSError as error:
            reason = error.strerror or str(error)
            if self.unreadable.get(name) != reason:
                _log.error("%s: its folder cannot be read: %s", name, reason)
            self.unreadable[name] = reason
            return {}
        self.unreadable.pop(name, None)
        return files


def _stamp(paths: Iterable[Path]) -> Stamp:
    stamps = []
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            stamps.append((path.name, 0, 0, 0))
        else:
            stamps.append((path.name, status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(stamps)


def _same(declared: schema.Contract | Signature, other: schema.Contract | Signature) -> bool:
    if isinstance(declared, Signature) or isinstance(other, Signature):
        return declared == other
    return declared.same_model(other)

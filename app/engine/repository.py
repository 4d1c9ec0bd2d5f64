"""What lies in the repository's folder, and the result of its verification. Files that did not change are not read
again."""

import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.contract import schema
from app.contract.repository import METADATA_KEY, list_models, list_versions, model_path, plan_path
from app.contract.signature import Signature
from app.engine.verifier import Verification, verify
from app.errors import ModelRejected

_log = logging.getLogger(__name__)

Stamp = tuple[tuple[str, int, int, int], ...]
"""For each file: name, time of the last change in ns, size in bytes, inode."""
Stamped = tuple[str, int, Stamp]


@dataclass(frozen=True)
class ScannedVersion:
    """A version as it lies on disk: fit to be loaded, or rejected with a reason."""

    name: str
    number: int
    stamp: Stamp
    """Changes when any of its files is touched."""
    rejected: str | None = None
    path: Path = Path()
    """The file to load: the plan for the device, if any."""
    declared: schema.Contract | Signature | None = None
    digests: tuple[str, ...] = ()
    """SHA-256 of each file, that of `path` last."""

    @property
    def stamped(self) -> Stamped:
        """Identifies the version until its files are touched."""
        return self.name, self.number, self.stamp


@dataclass(frozen=True)
class UnverifiedVersion:
    """A version whose files are new, or changed since they were verified; the portable one first."""

    name: str
    number: int
    stamp: Stamp
    paths: tuple[Path, ...]

    @property
    def size(self) -> int:
        """Size of all its files, in bytes."""
        return sum(size for _, _, size, _ in self.stamp)


class RepositoryScanner:
    """The versions in a folder, for one kind of device. Thread-safe.

    Args:
        folder: holds `<name>/<version>/model.onnx` and, beside it, plans for devices; a plan for `device` is preferred.
        device: `cpu` or `cuda`.
        allow_bare: whether to accept files without a contract, too.

    Raises:
        OSError: the folder cannot be read.
    """

    def __init__(self, folder: Path, device: str, *, allow_bare: bool = False) -> None:
        self._folder = folder.resolve()
        self._device = device
        self._allow_bare = allow_bare
        self._scanning = threading.Lock()  # the later of two scans must have the last word
        self._recording = threading.Lock()
        self._verified: Mapping[tuple[str, int], ScannedVersion] = {}  # replaced, never changed: read without a lock
        self._seen: dict[tuple[str, int], Stamp] = {}
        self.names: frozenset[str] = frozenset()
        """Names of the models with a folder, as of the last scan."""
        self.unreadable: Mapping[str, str] = {}
        """The models whose folder cannot be read, and why."""
        list_models(self._folder)  # raises now, not at the first scan

    def scan(self, only: str | None = None, *, settled: bool = False) -> dict[str, list[UnverifiedVersion]]:
        """Lists the files without reading them; returns the versions of each model that need verification.

        If a model's folder cannot be read for a moment, what is known about the model stays.

        Args:
            only: scan this model instead of all.
            settled: leave files that changed since the last scan for the next one: they may still be being written.

        Raises:
            OSError: the folder cannot be read.
        """
        with self._scanning:
            names = list_models(self._folder)
            unreadable = {name: reason for name, reason in self.unreadable.items() if name in names}
            found: dict[str, dict[int, tuple[Path, ...]]] = {}
            for name in names if only is None else [only] if only in names else []:
                try:
                    found[name] = self._files(name)
                    unreadable.pop(name, None)
                except OSError as error:
                    reason = error.strerror or str(error)
                    if unreadable.get(name) != reason:  # logged once, not at every scan
                        _log.error("%s: its folder cannot be read: %s", name, reason)
                    unreadable[name] = reason
            self.names, self.unreadable = frozenset(names), unreadable

            def is_there(key: tuple[str, int]) -> bool:
                name, number = key
                if only not in (None, name) or name in unreadable:
                    return True
                return number in found.get(name, {})

            with self._recording:
                self._verified = {key: version for key, version in self._verified.items() if is_there(key)}
            self._seen = {key: stamp for key, stamp in self._seen.items() if is_there(key)}
            return {name: self._unverified(name, versions, settled) for name, versions in found.items()}

    def verify(self, versions: Sequence[UnverifiedVersion]) -> None:
        """Verifies versions, all in one child process, and remembers the results."""
        due = [version for version in versions if self._is_due(version)]  # another thread may have been quicker
        if not due:
            return
        found = verify(path for version in due for path in version.paths)
        scanned = {
            (version.name, version.number): self._scanned(version, {path: found[path] for path in version.paths})
            for version in due
        }
        with self._recording:
            self._verified = {**self._verified, **scanned}

    def versions(self, name: str) -> list[ScannedVersion]:
        """The verified versions of a model that were there at the last scan, lowest first."""
        return sorted(
            (version for key, version in self._verified.items() if key[0] == name), key=lambda version: version.number
        )

    def forget_rejected(self, name: str) -> None:
        """Forgets the rejected versions of a model, so that the next scan has them verified again."""
        with self._recording:
            self._verified = {
                key: version for key, version in self._verified.items() if key[0] != name or version.rejected is None
            }

    def has(self, name: str) -> bool:
        """Whether the repository has a folder for that model right now."""
        try:
            return name in list_models(self._folder)
        except OSError:
            return False

    def _unverified(
        self, name: str, versions: Mapping[int, tuple[Path, ...]], settled: bool
    ) -> list[UnverifiedVersion]:
        unverified = []
        for number, paths in sorted(versions.items()):
            version = UnverifiedVersion(name, number, _stamp(paths), paths)
            # A file that grows has another size or time at the next scan; a folder renamed into place does not.
            if settled and self._seen.get((name, number)) != version.stamp:
                self._seen[name, number] = version.stamp
            elif self._is_due(version):
                self._seen[name, number] = version.stamp
                unverified.append(version)
        return unverified

    def _is_due(self, version: UnverifiedVersion) -> bool:
        known = self._verified.get((version.name, version.number))
        return known is None or known.stamp != version.stamp

    def _scanned(self, version: UnverifiedVersion, files: dict[Path, Verification]) -> ScannedVersion:
        name, number, stamp = version.name, version.number, version.stamp
        try:
            path, declared = self._choose(files)
        except ModelRejected as error:
            _log.error("%s:%d rejected: %s", name, number, error)
            return ScannedVersion(name, number, stamp, rejected=str(error))
        digests = tuple(verification.digest or "" for verification in files.values())
        return ScannedVersion(name, number, stamp, path=path, declared=declared, digests=digests)

    def _choose(self, files: dict[Path, Verification]) -> tuple[Path, schema.Contract | Signature]:
        """The last file of a version and what it declares, if all its files are sound and hold the same model."""
        chosen: tuple[Path, schema.Contract | Signature] | None = None
        for path, verification in files.items():
            if verification.declared is None:
                raise ModelRejected(f"{path.name}: {verification.rejected}" if chosen else verification.rejected)
            if isinstance(verification.declared, Signature) and not self._allow_bare:
                raise ModelRejected(
                    f"has no contract (metadata key {METADATA_KEY!r}); with MASKSEMBLES_ALLOW_BARE_ONNX=true it is "
                    "served, through /v2 alone"
                )
            if chosen and not _same(verification.declared, chosen[1]):
                raise ModelRejected(f"{path.name}: its contract is not that of {chosen[0].name}")
            chosen = (path, verification.declared)
        if chosen is None:
            raise ModelRejected("has no file")
        return chosen

    def _files(self, name: str) -> dict[int, tuple[Path, ...]]:
        """The files of each version: the portable one, then the plan for this device, if any."""
        files: dict[int, tuple[Path, ...]] = {}
        for number in list_versions(self._folder, name):
            plan = plan_path(self._folder, name, number, self._device)
            portable = model_path(self._folder, name, number)
            files[number] = (portable, plan) if plan.exists() else (portable,)
        return files


def _stamp(paths: Iterable[Path]) -> Stamp:
    stamps = []
    for path in paths:
        try:
            status = path.stat()
        except OSError:  # missing: a stamp too, so that the rejection holds until the file comes
            stamps.append((path.name, 0, 0, 0))
        else:
            # the inode: a file renamed over another may have its time and size
            stamps.append((path.name, status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(stamps)


def _same(declared: schema.Contract | Signature, other: schema.Contract | Signature) -> bool:
    if isinstance(declared, Signature) or isinstance(other, Signature):
        return declared == other
    return declared.same_model(other)

"""What lies in the repository's folder, and what verification made of it; files that did not change are not read
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


@dataclass(frozen=True)
class UnverifiedVersion:
    """A version whose files are new, or changed since they were verified; the portable one first."""

    name: str
    number: int
    stamp: Stamp
    paths: tuple[Path, ...]

    @property
    def size(self) -> int:
        """Of all its files, in bytes."""
        return sum(size for _, _, size, _ in self.stamp)


class RepositoryScanner:
    """The versions in a folder, for one kind of device. Its methods may be called by several threads.

    Args:
        folder: that holds `<name>/<version>/model.onnx`, and beside it plans for devices, which are preferred there.
        device: the kind, `cpu` or `cuda`.
        allow_bare: whether files without a contract are fit, too.

    Raises:
        OSError: the folder cannot be read.
    """

    def __init__(self, folder: Path, device: str, *, allow_bare: bool = False) -> None:
        self._folder = folder.resolve()
        self._device = device
        self._allow_bare = allow_bare
        self._scanning = threading.Lock()  # of two scans the later one must have the last word
        self._recording = threading.Lock()
        self._verified: Mapping[tuple[str, int], ScannedVersion] = {}  # replaced, never changed: read without a lock
        self._seen: dict[tuple[str, int], Stamp] = {}
        self.names: frozenset[str] = frozenset()
        """The models that have a folder, as of the last scan."""
        self.unreadable: Mapping[str, str] = {}
        """The models whose folder cannot be read, and why."""
        list_models(self._folder)

    def scan(self, only: str | None = None, *, settled: bool = False) -> dict[str, list[UnverifiedVersion]]:
        """Looks which files there are, and reads none: the versions of each model that are to be verified.

        What is known of a model whose folder cannot be read for a moment stays.

        Args:
            only: the model to look at, instead of all.
            settled: leave what has changed since the last look for the next one: it may still be being written.

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
                    if unreadable.get(name) != reason:
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
        """Has versions verified, all of them by one child process, and remembers what became of them."""
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
        """The versions of a model that have been verified and lay there at the last scan, lowest first."""
        return sorted(
            (version for key, version in self._verified.items() if key[0] == name), key=lambda version: version.number
        )

    def forget_rejected(self, name: str) -> None:
        """Has the rejected versions of a model read again after the next scan: what was in the way may be gone."""
        with self._recording:
            self._verified = {
                key: version for key, version in self._verified.items() if key[0] != name or version.rejected is None
            }

    def has(self, name: str) -> bool:
        """Whether the folder holds, now, a folder of that name, the name of a model."""
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
            # A file that grows has another size or time at the next look; a folder renamed into place has not.
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
        """The last file of a version, and what it declares, when all of its files are sound and hold the same model."""
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
        """The files of each version: the portable one, and after it the plan for this device, where there is one."""
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
        except OSError:
            stamps.append((path.name, 0, 0, 0))
        else:
            stamps.append((path.name, status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(stamps)


def _same(declared: schema.Contract | Signature, other: schema.Contract | Signature) -> bool:
    if isinstance(declared, Signature) or isinstance(other, Signature):
        return declared == other
    return declared.same_model(other)

"""What lies in the repository's folder, and the result of its verification. Files that did not change are not read
again, but for those that could not be read, or may have changed without a trace."""

import errno
import logging
import math
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from app.contract import schema
from app.contract.repository import METADATA_KEY, MODEL_FILE, list_models
from app.contract.signature import Signature
from app.engine.listing import Identity, Listing, VersionListing, list_repository
from app.engine.scanned_version import ScannedVersion, UnverifiedVersion
from app.engine.stamp import COARSE_SECONDS, FileStamp, Sightings, VersionKey
from app.engine.verifier import Verification, verify

_log = logging.getLogger(__name__)

# seconds until what cannot be read is tried again; a try costs 0.3 s of a core
_FIRST_DELAY, _LONGEST_DELAY = 2.0, 60.0


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
        self._folder = folder.absolute()  # not resolved: see list_repository
        self._device = device
        self._allow_bare = allow_bare
        self._scanning = threading.Lock()  # the later of two scans must have the last word
        self._recording = threading.Lock()
        self._verified: Mapping[VersionKey, ScannedVersion] = {}  # replaced, never changed: read without a lock
        self._sightings = Sightings()
        self._identity: Identity | None = None  # of the folder when it last held a model
        self.names: frozenset[str] = frozenset()
        """Names of the models with a folder, as of the last scan."""
        self.unreadable: Mapping[str, str] = {}
        """The models whose folder cannot be read, and why."""
        list_models(self._folder)  # raises now, not at the first scan

    def scan(self, only: str | None = None, *, settled: bool = False) -> dict[str, list[UnverifiedVersion]]:
        """Lists the files without reading them; returns the versions of each model that need verification.

        What is known about a model or version that cannot be read for a moment stays.

        Args:
            only: scan this model instead of all.
            settled: leave files that changed since the last scan for the next one: they may still be being written.

        Raises:
            OSError: the folder cannot be read, or is another one than before and empty.
        """
        with self._scanning:
            listing = list_repository(self._folder, self._device, only)
            if listing.names:
                self._identity = listing.identity
            elif self.names and listing.identity != self._identity:  # what a mount leaves behind when it goes
                raise OSError(errno.ENOENT, "it is empty, and not the folder that held the models")
            self._note_unreadable(listing)
            self.names = listing.names

            def is_there(key: VersionKey) -> bool:
                name, number = key
                if only not in (None, name) or name in self.unreadable:
                    return True
                return number in listing.versions.get(name, {})

            with self._recording:
                self._verified = {key: version for key, version in self._verified.items() if is_there(key)}
            self._sightings.keep_only(is_there)
            return {
                name: [
                    version
                    for number, files in sorted(versions.items())
                    if (version := self._look(name, number, files, settled)) and self._is_due(version)
                ]
                for name, versions in listing.versions.items()
            }

    def verify(self, versions: Sequence[UnverifiedVersion]) -> None:
        """Verifies versions, all in one child process, and remembers the results."""
        due = [version for version in versions if self._is_due(version)]  # another thread may have been quicker
        if not due:
            return
        begun = time.monotonic()
        paths = [path for version in due for path in version.paths]
        found = verify(paths, self._device, allow_bare=self._allow_bare)
        for version in due:
            seconds = sum(found[path].seconds for path in version.paths)
            peak = max(found[path].peak for path in version.paths) / 2**20
            _log.info("%s:%d: to verify it took %.2f s and %.0f MB", version.name, version.number, seconds, peak)
        scanned = {
            version.key: self._scanned(version, {path: found[path] for path in version.paths}, begun) for version in due
        }
        with self._recording:
            self._verified = {**self._verified, **scanned}

    def versions(self, name: str) -> list[ScannedVersion]:
        """The verified versions of a model that were there at the last scan, lowest first."""
        return sorted(
            (version for key, version in self._verified.items() if key[0] == name), key=lambda version: version.number
        )

    def look_again(self, name: str) -> None:
        """Has the next scan verify the versions of a model again that are rejected, or whose plan is."""
        with self._recording:
            self._verified = {
                key: replace(version, again_at=-math.inf) if key[0] == name and _has_fault(version) else version
                for key, version in self._verified.items()
            }

    def doubt(self, version: ScannedVersion, reason: str) -> None:
        """Takes back that a version, or its plan, is fit: its file could not be read when it was to be loaded."""
        with self._recording:
            known = self._verified.get(version.key)
            if known is None or known.stamp != version.stamp:
                return  # there is news already
            doubted = (
                replace(version, rejected=reason, unreadable=True, declared=None, digests=())
                if version.portable is None
                else version.without_plan(reason)
            )
            delay = _longer(known.delay)
            doubted = replace(doubted, again_at=time.monotonic() + delay, delay=delay)
            self._verified = {**self._verified, version.key: doubted}

    def has(self, name: str) -> bool:
        """Whether the repository has a folder for that model right now."""
        try:
            return name in list_models(self._folder)
        except OSError:
            return False

    def _note_unreadable(self, listing: Listing) -> None:
        for name, reason in listing.unreadable.items():
            if self.unreadable.get(name) != reason:  # logged once, not at every scan
                _log.error("%s: its folder cannot be read: %s", name, reason)
        others = {name: why for name, why in self.unreadable.items() if name in listing.names - set(listing.versions)}
        self.unreadable = {**others, **listing.unreadable}

    def _look(self, name: str, number: int, files: VersionListing, settled: bool) -> UnverifiedVersion | None:
        """The files of a version that may be verified now; None if what is known about it stays for now."""
        known = self._verified.get((name, number))
        if files.portable is None and known is not None:
            return None
        portable = files.portable or FileStamp(MODEL_FILE)  # the verifier will say why it cannot be read
        plans = [files.plan] if files.plan is not None and files.plan.there else []
        first, *others = self._sightings.look((name, number), [portable, *plans])
        if settled and not first.settled:
            return None
        chosen = [first, *(plan for plan in others if plan.settled or not settled)]
        plan_waits = files.plan is None or len(chosen) <= len(others)
        if plan_waits and known is not None and known.stamp[0] == portable and self._is_firm(known):
            return None
        stamp = tuple(sighting.stamp for sighting in chosen)
        folder = self._folder / name / str(number)
        paths = tuple(folder / file.name for file in stamp)
        return UnverifiedVersion(name, number, stamp, paths, max(sighting.since for sighting in chosen))

    def _is_due(self, version: UnverifiedVersion) -> bool:
        known = self._verified.get(version.key)
        return known is None or known.stamp != version.stamp or not self._is_firm(known)

    def _is_firm(self, known: ScannedVersion) -> bool:
        return time.monotonic() < known.again_at

    def _scanned(self, version: UnverifiedVersion, files: Mapping[Path, Verification], begun: float) -> ScannedVersion:
        """What the verification of its files makes of a version."""
        known = self._verified.get(version.key)
        (path, portable), *plans = files.items()
        scanned = ScannedVersion(version.name, version.number, version.stamp)
        if reason := self._unfit(portable):
            scanned = replace(scanned, rejected=reason, unreadable=portable.again is not None)
        else:
            digest = portable.digest or ""
            scanned = replace(scanned, path=path, declared=portable.declared, digests=(digest,))
            for other, plan in plans:
                if reason := plan.rejected or _differs(plan.declared, portable.declared):
                    scanned = replace(scanned, remark=f"{other.name}: {reason}")
                else:
                    both = (digest, plan.digest or "")
                    scanned = replace(scanned, path=other, declared=plan.declared, digests=both, portable=scanned)
        _tell(scanned, known)
        return _with_another_look(scanned, known, version.since, begun, list(files.values()))

    def _unfit(self, portable: Verification) -> str | None:
        if isinstance(portable.declared, Signature) and not self._allow_bare:
            return (
                f"has no contract (metadata key {METADATA_KEY!r}); with MASKSEMBLES_ALLOW_BARE_ONNX=true it is "
                "served, through /v2 alone"
            )
        return portable.rejected


def _with_another_look(
    scanned: ScannedVersion,
    known: ScannedVersion | None,
    since: float,
    begun: float,
    files: Sequence[Verification],
) -> ScannedVersion:
    """Says when the files are verified again though their stamp stays."""
    delay = known.delay if known is not None and known.stamp == scanned.stamp else 0.0
    at = math.inf
    waits = [
        file.again for file, stamp in zip(files, scanned.stamp) if file.again is not None and stamp.there
    ]  # a file that comes changes the stamp
    if waits:
        delay = max(*waits, _longer(delay))
        at = time.monotonic() + delay
    if begun < since + COARSE_SECONDS and any(stamp.there for stamp in scanned.stamp):
        at = min(at, since + COARSE_SECONDS)  # what was written while it was read may have left no trace
    return replace(scanned, again_at=at, delay=delay)


def _has_fault(version: ScannedVersion) -> bool:
    return version.rejected is not None or version.remark is not None


def _longer(delay: float) -> float:
    return min(max(_FIRST_DELAY, 2 * delay), _LONGEST_DELAY)


def _tell(scanned: ScannedVersion, known: ScannedVersion | None) -> None:
    """Logs what is wrong with a version, once."""
    if scanned.rejected is not None and (known is None or known.rejected != scanned.rejected):
        _log.error("%s:%d rejected: %s", scanned.name, scanned.number, scanned.rejected)
    if scanned.remark is not None and (known is None or known.remark != scanned.remark):
        _log.warning("%s:%d is served without its plan: %s", scanned.name, scanned.number, scanned.remark)


def _differs(plan: schema.Contract | Signature | None, portable: schema.Contract | Signature | None) -> str | None:
    if isinstance(plan, schema.Contract) and isinstance(portable, schema.Contract):
        same = plan.same_model(portable)
    else:
        same = plan == portable
    return None if same else f"its contract is not that of {MODEL_FILE}"

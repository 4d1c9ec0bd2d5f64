"""What the reconciler knows about one model beyond its files: what is loaded, what failed, what an administrator wants.
From this follows which versions answer."""

import threading
from dataclasses import dataclass, replace

from app.engine.bare_model import Servable
from app.engine.model_versions import AvailableModel, ModelVersions, VerifiedModel, VersionState, VersionStatus
from app.engine.options import RegistryOptions
from app.engine.scanned_version import ScannedVersion
from app.engine.stamp import Stamp

_NO_CONTRACT = "its file has no contract: served through /v2 alone"
_CHANGED_SINCE_LOADED = (
    "its files changed after it was loaded; what was loaded serves on, a new version would be loaded"
)
_SERVES_ON = "what was loaded serves on"
_CHANGED_SINCE_SERVED = "its files changed since they were served; what they are now would need a new version"
_FOLDER_GONE = f"its folder is gone from the model repository; {_SERVES_ON}"

_Attempt = tuple[int, Stamp, tuple[str, ...]]
"""Number, stamp and digests of a version: changed files are tried again, and so is the version without its plan."""


@dataclass(frozen=True)
class _LoadedVersion:
    model: Servable
    digests: tuple[str, ...]


class ModelState:
    """The state of one model. Not thread-safe: the reconciler's lock guards everything but `turn`."""

    def __init__(self, name: str, options: RegistryOptions) -> None:
        self.turn = threading.Lock()
        """Held by the one thread that verifies the model's new files and loads what follows from them."""
        self.unloaded = False
        """An administrator took the model out of service."""
        self.in_use = False
        """The model is needed: the version that is to answer is loaded without waiting for a request."""
        self._name = name
        self._pin = options.pin.get(name)
        self._keep = options.keep_versions
        self._lazy = options.lazy and not options.load_all
        self._load_all = options.load_all
        self._loaded: dict[int, _LoadedVersion] = {}
        self._served: dict[int, tuple[str, ...]] = {}  # digest of the portable file of all that was ever in memory
        self._failed: dict[_Attempt, str] = {}

    def is_loaded(self, number: int) -> bool:
        """Whether a version is in memory, published or about to be."""
        return number in self._loaded

    def note(self, scanned: ScannedVersion, outcome: Servable | str) -> None:
        """Remembers a version that was loaded, or why loading failed."""
        if isinstance(outcome, str):
            self._failed[_attempt(scanned)] = outcome
        else:
            self._loaded[scanned.number] = _LoadedVersion(outcome, scanned.digests)
            self._served[scanned.number] = scanned.digests[:1]

    def forget_failures(self) -> None:
        """Lets versions that could not be loaded be tried again."""
        self._failed.clear()

    def keep_only(self, loaded: dict[int, Servable], scanned: list[ScannedVersion]) -> None:
        """Drops models that no longer answer, and failures of versions that no longer exist."""
        self._loaded = {
            number: version for number, version in self._loaded.items() if loaded.get(number) is version.model
        }
        there = {(version.number, version.stamp) for version in scanned}
        self._failed = {attempt: reason for attempt, reason in self._failed.items() if attempt[:2] in there}

    def choose(self, scanned: list[ScannedVersion], before: ModelVersions) -> ModelVersions | VerifiedModel:
        """The versions that answer now; or the one that must be loaded, or rejected, before that is known.

        Args:
            scanned: all versions, lowest first.
            before: what has been published for the model.
        """
        default: AvailableModel | None = None
        kept: list[AvailableModel] = []
        statuses: dict[int, VersionStatus] = {}
        for version in reversed(scanned):  # highest first
            eligible = not self.unloaded and self._pin in (None, version.number)
            answers = eligible and default is None
            stays = default is not None and len(kept) < self._keep
            wanted = answers or stays or self._load_all
            model, status = self._look_up(version)
            # what is in memory has been asked for, and answers while a better file is loaded
            asked_for = not self._lazy or (answers and self.in_use) or self.is_loaded(version.number)
            # one load at a time: whether it succeeds decides what else is wanted
            if isinstance(model, VerifiedModel) and wanted and asked_for:
                return model
            if model is not None and (answers or stays):
                default, kept = (model, kept) if answers else (default, [*kept, model])
                status = replace(status, state="available", loaded=not isinstance(model, VerifiedModel))
            statuses[version.number] = status
        last = before.default
        if default is None and last is not None and not isinstance(last, VerifiedModel) and not self.unloaded:
            default = last  # its folder is gone and nothing can follow: a mistake on disk must not stop answers
            kept = [model for model in before.kept if not isinstance(model, VerifiedModel)]
            for model in (last, *kept):
                gone = VersionStatus(model.version, "available", _FOLDER_GONE, model.contract)
                status = gone if model is last else statuses.get(model.version, gone)
                statuses[model.version] = replace(status, state="available", loaded=True)
        return ModelVersions(tuple(status for _, status in sorted(statuses.items())), default, tuple(kept))

    def _look_up(self, version: ScannedVersion) -> tuple[AvailableModel | None, VersionStatus]:
        """A version's model, if it has one, and its status as long as it does not answer."""
        fit: VersionState = "unloaded" if self.unloaded else "standby"
        if version.portable is not None and (failure := self._failed.get(_attempt(version))):
            version = version.without_plan(failure)
        loaded = self._loaded.get(version.number)
        if loaded is not None and (serves_on := _serves_on(version, loaded)):
            return loaded.model, VersionStatus(version.number, fit, serves_on, loaded.model.contract)
        rejected = version.rejected or self._failed.get(_attempt(version))
        portable = version.digests[:1]
        if rejected is None and self._served.get(version.number, portable) != portable:
            rejected = _CHANGED_SINCE_SERVED  # two answers under one version would contradict each other
        if rejected is not None or version.declared is None:
            return None, VersionStatus(version.number, "rejected", rejected)
        verified = VerifiedModel(version, version.declared)
        reasons = [version.remark, _NO_CONTRACT if verified.contract is None else None]
        status = VersionStatus(version.number, fit, "; ".join(filter(None, reasons)) or None, verified.contract)
        # a plan that came later is loaded like a new version
        return verified if loaded is None or loaded.digests != version.digests else loaded.model, status


def _attempt(version: ScannedVersion) -> _Attempt:
    return version.number, version.stamp, version.digests


def _serves_on(version: ScannedVersion, loaded: _LoadedVersion) -> str | None:
    """Why what was loaded serves on whatever its files are now; None if they are the same, or a plan came to them."""
    if version.unreadable:
        return f"{version.rejected}; {_SERVES_ON}"
    if loaded.digests[:1] != version.digests[:1]:  # even if they are no valid model any more
        return _CHANGED_SINCE_LOADED
    lost = len(loaded.digests) > len(version.digests)
    return _CHANGED_SINCE_LOADED if lost else None

"""The models in memory: which version of each answers, and how a new one takes its place while the service runs."""

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from app.contract.decisions import DecisionPolicy
from app.contract.policy import EVERY_MODEL, NO_POLICIES, Policies
from app.engine.bare_model import Servable
from app.engine.cpu_count import cpu_count
from app.engine.device import Device
from app.engine.loader import Loader
from app.engine.model_versions import Answering, ModelVersions, UnloadedModel, VersionStatus
from app.engine.repository import RepositoryScanner, ScannedVersion, Stamped
from app.engine.single_flight import SingleFlight
from app.errors import (
    DeadlineExceeded,
    ModelRejected,
    PolicyMismatch,
    StartError,
    UnknownModel,
    UnknownVersion,
    VersionRejected,
)

_log = logging.getLogger(__name__)

_SECONDS_TO_END = 2.0
_NO_CONTRACT = "its file has no contract: served through /v2 alone"
_CHANGED = "its files changed since they were served; what they are now would need a new version"

Report = Callable[[str, Literal["loaded", "unloaded", "rejected"]], None]
"""Is told the name of a model and what became of one of its versions."""


@dataclass(frozen=True)
class _Loaded:
    model: Servable
    digests: tuple[str, ...]


class ModelRegistry:
    """Follows a folder. A version that takes over is verified in a child process, loaded and warmed up before it does;
    requests that began on the old one are finished on it, and with the last of them it leaves memory. With `first_use`
    a model that nobody has asked yet is only verified.

    Args:
        folder: that holds `<name>/<version>/model.onnx`, and beside it plans for devices, which are preferred there.
        device: where models run.
        pin: versions that answer instead of the highest valid one.
        default: the model that answers when none is named.
        keep: how many valid versions below the one that answers stay in memory, for requests that name them.
        most_batch: the largest batch that will be asked of a model, in rows.
        report: is told of every change.
        plain: whether to serve files without a contract, too.
        first_use: load a version when the first request for it comes, and not before.
        load_all: load every version once, to find out whether it could be served.
        policies: the operator's, by name of a model.

    Raises:
        StartError: no such folder, or a pinned version or the default model is not there or not fit; or a policy is for
            no model, or none that a model can keep.
    """

    def __init__(
        self,
        folder: Path,
        device: Device,
        pin: dict[str, int] | None = None,
        default: str | None = None,
        *,
        keep: int = 0,
        most_batch: int = 64,
        report: Report = lambda *_: None,
        plain: bool = False,
        first_use: bool = False,
        load_all: bool = False,
        policies: Policies = NO_POLICIES,
    ) -> None:
        try:
            self._inventory = RepositoryScanner(folder, device.name, plain=plain)
        except OSError as error:
            raise StartError(
                f"MASKSEMBLES_MODEL_REPOSITORY: {folder} is no folder that can be read: {error.strerror}"
            ) from error
        self.device = device
        self._loader = Loader(device, cpu_count(), most_batch, policies)
        self._pin = pin or {}
        self._default = default
        self._keep = keep
        self._report = report
        self._first_use = first_use and not load_all
        self._load_all = load_all
        self._changing = threading.Lock()
        self._ended = threading.Event()
        self._watcher: threading.Thread | None = None
        self._loaded: dict[tuple[str, int], _Loaded] = {}
        self._served: dict[tuple[str, int], tuple[str, ...]] = {}  # the digests of all that ever was in memory
        self._starting = True
        self._failed: dict[Stamped, str] = {}  # versions that verified well and could not be loaded
        self._used: set[str] = set()  # models whose next version is loaded without waiting for a request
        self._unloaded: set[str] = set()
        self._entries: dict[str, list[ScannedVersion]] = {}  # by which the shelves were filled
        self._loading = SingleFlight()
        self._one_by_one = threading.Lock()  # a load takes more memory than a model
        self.shelves: dict[str, ModelVersions] = {}
        self.refresh()
        self._starting = False
        for name, number in self._pin.items():
            if name not in self.serving:
                raise StartError(f"MASKSEMBLES_PIN: {name}:{number} cannot be served: {self._why_not(name, number)}")
        for name in policies:
            if name != EVERY_MODEL and name not in self.serving:
                raise StartError(f"MASKSEMBLES_POLICY: {name!r} cannot be served; there are: {self._names()}")
        for model in self.serving.values():  # those too that are not loaded yet
            self._loader.judge(model)
        if default is not None and default not in self.serving:
            raise StartError(f"MASKSEMBLES_DEFAULT_MODEL: {default!r} cannot be served; there are: {self._names()}")

    @property
    def serving(self) -> dict[str, Answering]:
        """The models that answer, by name."""
        return {name: shelf.answering for name, shelf in self.shelves.items() if shelf.answering is not None}

    @property
    def unreadable(self) -> dict[str, str]:
        """The models whose folder cannot be read, and why."""
        return self._inventory.unreadable

    @property
    def default(self) -> str | None:
        """The model that answers when none is named: the one that was set, or the only one."""
        if self._default is not None:
            return self._default
        serving = self.serving
        return next(iter(serving)) if len(serving) == 1 else None

    def judge(self, model: Answering) -> DecisionPolicy | None:
        """What decides on a model's answers, if anything does, whether it is loaded or not."""
        try:
            return self._loader.judge(model)
        except PolicyMismatch:  # its first request will refuse it
            return None

    def find(self, name: str | None, version: int | None) -> Answering:
        """The model for a request, perhaps not loaded yet.

        Raises:
            UnknownModel: none of that name answers, or none is named and there is no default.
            UnknownVersion: that version does not answer.
        """
        if name is None:
            name = self.default
            if name is None:
                raise UnknownModel(f"name the model: there is no default; there are: {self._names()}", "model")
        shelf = self.shelves.get(name)
        if shelf is None or shelf.answering is None:
            raise UnknownModel(f"no model {name!r} is served; there are: {self._names()}", "model")
        if version is None or version == shelf.answering.version:
            return shelf.answering
        for model in shelf.kept:
            if version == model.version:
                return model
        there = ", ".join(str(model.version) for model in (shelf.answering, *shelf.kept))
        raise UnknownVersion(f"version {version} of {name!r} is not served; there are: {there}", "version")

    async def obtain(self, name: str | None, version: int | None, seconds: float) -> tuple[Servable, float]:
        """The model for a request, loaded once for all who wait, beside the event loop; and the seconds that are left.

        One that cannot be loaded is rejected, and what answers in its stead is taken.

        Args:
            seconds: for how long to wait while it is loaded.

        Raises:
            UnknownModel, UnknownVersion: as find.
            DeadlineExceeded: it is still to be loaded.
        """
        model = self.find(name, version)
        if not isinstance(model, UnloadedModel):
            return model, seconds
        clock = asyncio.get_running_loop().time
        deadline = clock() + seconds
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                while isinstance(model, UnloadedModel):
                    await self._loading.wait(model.name, partial(self._use, model))
                    model = self.find(name, version)
            if (left := deadline - clock()) > 0:
                return model, left
        raise DeadlineExceeded(f"{model.name}:{model.version} was not loaded within {1000 * seconds:.0f} ms")

    def refresh(self, *, settled: bool = False) -> None:
        """Brings memory in line with the folder; with `settled`, but for what may still be being written.

        A folder that cannot be read changes nothing.
        """
        with self._changing:
            try:
                found = self._inventory.look(settled=settled)
            except OSError as error:
                _log.error("the store cannot be read: %s; what was loaded serves on", error)
                return
            for name in sorted({*found, *self.shelves}):
                if name not in self.unreadable or name not in self.shelves:
                    self._settle(name, found.get(name, []))
            known = {entry.stamped for entries in found.values() for entry in entries}
            self._failed = {stamped: reason for stamped, reason in self._failed.items() if stamped in known}

    def load(self, name: str) -> ModelVersions:
        """Looks at the folder now, and has the model answer again if it was unloaded.

        Raises:
            UnknownModel: the folder has no such model.
            VersionRejected: none of its versions is fit to be served.
        """
        if name not in self.shelves and not self._inventory.has(name):
            raise UnknownModel(f"no model {name!r}; there are: {', '.join(self.shelves) or 'none'}", "name")
        with self._changing:
            self._unloaded.discard(name)
            self._used.add(name)
            self._failed = {stamped: reason for stamped, reason in self._failed.items() if stamped[0] != name}
            self._inventory.forget_refused(name)
        self.refresh()
        shelf = self.shelves.get(name, ModelVersions())
        if shelf.answering is None:
            reasons = "; ".join(f"{version.number}: {version.reason or version.state}" for version in shelf.versions)
            raise VersionRejected(f"no version of {name!r} is fit to be served ({reasons or 'it has none'})", "name")
        return shelf

    def unload(self, name: str) -> ModelVersions:
        """Takes a model out of service until it is loaded again; what it is at work on is finished.

        Raises:
            UnknownModel: there is no such model.
        """
        if name not in self.shelves:
            raise UnknownModel(f"no model {name!r}; there are: {', '.join(self.shelves) or 'none'}", "name")
        with self._changing:
            before = self.shelves[name]
            self._unloaded.add(name)
            self._used.discard(name)
            versions = tuple(
                replace(version, state="standby", loaded=False) if version.state in ("serving", "kept") else version
                for version in before.versions
            )
            self._put(name, ModelVersions(versions))
            self._note_changes(name, before, self.shelves[name])
        self.refresh()
        return self.shelves.get(name, ModelVersions())

    def watch(self, seconds: float) -> None:
        """Follows the folder from now on, looking every so often."""

        def follow() -> None:
            while not self._ended.wait(seconds):
                try:
                    self.refresh(settled=True)
                except Exception:  # whatever it is, the next look may do better
                    _log.exception("looking at the store failed")

        self._watcher = threading.Thread(target=follow, name="store", daemon=True)
        self._watcher.start()

    def close(self) -> None:
        """Follows the folder no longer. A version that is just being verified or loaded is not waited for."""
        self._ended.set()
        if self._watcher is not None:
            self._watcher.join(_SECONDS_TO_END)

    def _use(self, model: UnloadedModel) -> None:
        """Loads a version that is asked for the first time, and has it answer; or refuses it."""
        shelf = self.shelves.get(model.name, ModelVersions())
        if model not in (shelf.answering, *shelf.kept):  # no longer, now that it is its turn
            return
        found = self._attempt(model)
        with self._changing:
            if (model.name, model.version) not in self._loaded:  # an administrator may have been quicker
                self._note(model.entry, found)
            self._settle(model.name, self._entries[model.name])

    def _settle(self, name: str, entries: list[ScannedVersion]) -> None:
        """Decides which versions of a model answer, loads those that are to be in memory and are not, and swaps the
        shelf."""
        self._entries[name] = entries
        before = self.shelves.get(name, ModelVersions())
        answering: Answering | None = None
        kept: list[Answering] = []
        versions: dict[int, VersionStatus] = {}
        for entry in reversed(entries):  # highest first
            wanted = name not in self._unloaded and self._pin.get(name, entry.number) == entry.number
            answers = wanted and answering is None
            stays = answering is not None and len(kept) < self._keep
            lazily = self._first_use and not (answers and name in self._used)
            model, version = self._try(entry, wanted=answers or stays or self._load_all, lazily=lazily)
            loaded = not isinstance(model, UnloadedModel)
            if model is not None and answers:
                answering, version = model, replace(version, state="serving", loaded=loaded)
            elif model is not None and stays:
                kept.append(model)
                version = replace(version, state="kept", loaded=loaded)
            versions[entry.number] = version
        last = before.answering
        if (
            answering is None
            and last is not None
            and not isinstance(last, UnloadedModel)
            and name not in self._unloaded
        ):
            answering = last  # its folder is gone and nothing can follow it: better than to go with it
            reason = "its folder is gone from the store; what was loaded serves on"
            versions[last.version] = VersionStatus(last.version, "serving", reason, last.contract, loaded=True)
        if answering is not None and not isinstance(answering, UnloadedModel):
            self._used.add(name)
        ordered = tuple(version for _, version in sorted(versions.items()))
        self._put(
            name, ModelVersions(ordered, answering, tuple(kept)) if ordered or self._inventory.has(name) else None
        )
        self._note_changes(name, before, self.shelves.get(name, ModelVersions()))

    def _put(self, name: str, shelf: ModelVersions | None) -> None:
        """Replaces a shelf, or takes it away, in a new dictionary: somebody may be going through the old one."""
        others = {other: kept for other, kept in self.shelves.items() if other != name}
        self.shelves = others if shelf is None else dict(sorted({**others, name: shelf}.items()))

    def _try(self, entry: ScannedVersion, *, wanted: bool, lazily: bool) -> tuple[Answering | None, VersionStatus]:
        """A version's model, where it is or can be loaded, and what is to be said of it otherwise.

        Args:
            wanted: whether it is to answer.
            lazily: not to load it for that.
        """
        key = (entry.name, entry.number)
        loaded = self._loaded.get(key)
        if loaded is not None and loaded.digests != entry.digests:
            changed = "its files changed after it was loaded; what was loaded serves on, a new version would be loaded"
            return loaded.model, VersionStatus(entry.number, "standby", changed, loaded.model.contract)
        if self._refusal(entry) is None and entry.declared is not None and loaded is None and wanted and not lazily:
            self._note(entry, self._attempt(UnloadedModel(entry, entry.declared)))
            loaded = self._loaded.get(key)
        rejected = self._refusal(entry)
        if rejected is not None or entry.declared is None:
            return None, VersionStatus(entry.number, "rejected", rejected)
        verified = UnloadedModel(entry, entry.declared)
        reason = _NO_CONTRACT if verified.contract is None else None
        model = loaded.model if loaded is not None else verified if wanted else None
        return model, VersionStatus(entry.number, "standby", reason, verified.contract)

    def _refusal(self, entry: ScannedVersion) -> str | None:
        rejected = entry.rejected or self._failed.get(entry.stamped)
        changed = self._served.get((entry.name, entry.number), entry.digests) != entry.digests
        return _CHANGED if rejected is None and changed else rejected

    def _note(self, entry: ScannedVersion, found: Servable | str) -> None:
        """Remembers a version that was loaded, or why it could not be."""
        if isinstance(found, str):
            self._failed[entry.stamped] = found
        else:
            self._loaded[entry.name, entry.number] = _Loaded(found, entry.digests)
            self._served[entry.name, entry.number] = entry.digests

    def _attempt(self, model: UnloadedModel) -> Servable | str:
        """The version, loaded; or why it cannot be: one version's trouble must not keep others from being looked at."""
        try:
            with self._one_by_one:  # the innermost lock: whatever others are held, it comes free
                return self._loader.load(model)
        except Exception as error:
            if self._starting and isinstance(error, StartError):
                raise
            if isinstance(error, ModelRejected):
                _log.error("%s:%d rejected: %s", model.name, model.version, error)
                return str(error)
            _log.exception("%s:%d cannot be loaded", model.name, model.version)
            return f"cannot be loaded: {error}"

    def _note_changes(self, name: str, before: ModelVersions, after: ModelVersions) -> None:
        """Lets go of what is in memory no longer, and tells."""
        there = after.loaded
        gone = before.loaded.keys() - there.keys()
        self._loaded = {
            key: loaded for key, loaded in self._loaded.items() if key[0] != name or there.get(key[1]) is loaded.model
        }
        known = {version.number for version in before.versions if version.state == "rejected"}
        for version in after.versions:
            if version.state == "rejected" and version.number not in known:
                self._report(name, "rejected")
        for number in gone:
            self._report(name, "unloaded")
            _log.info("%s:%d is unloaded after its last request", name, number)
        model = there.get(after.answering.version) if after.answering is not None else None
        if model is not None and model is not before.answering:
            self._report(name, "loaded")
            plan = f"plan {model.contract.plan}" if model.contract else "without a contract"
            _log.info("%s:%d serves on %s, %s", name, model.version, self.device.name, plan)

    def _names(self) -> str:
        return ", ".join(self.serving) or "none"

    def _why_not(self, name: str, number: int) -> str:
        known = {version.number: version for version in self.shelves.get(name, ModelVersions()).versions}
        if number not in known:
            return f"the store has versions {', '.join(map(str, known))}" if known else "the store has no such model"
        return known[number].reason or "it was not loaded"

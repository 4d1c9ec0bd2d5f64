"""Brings the registry in line with the repository: verifies and loads beside what answers, then swaps.

Three locks, so that nobody waits for what is not theirs. `turn` of a model is held while its new files are verified,
which may take minutes; only who brings the same model up to date waits for it. `_one_load` is held while a model is
loaded: that takes more memory than the model, so there is one at a time. `_lock` guards what is known, for moments.
Who holds several took them in this order.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, wait
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Literal

from app.contract.policy import EVERY_MODEL
from app.engine.background import in_background
from app.engine.bare_model import Servable
from app.engine.cpu_count import cpu_count
from app.engine.device import Device
from app.engine.loader import Loader
from app.engine.model import LoadOptions
from app.engine.model_state import ModelState
from app.engine.model_versions import ModelVersions, VerifiedModel
from app.engine.options import RegistryOptions
from app.engine.registry import ModelRegistry
from app.engine.repository import RepositoryScanner, UnverifiedVersion
from app.errors import ModelRejected, StartError, UnknownModel, VersionRejected

_log = logging.getLogger(__name__)

_DEFAULTS = RegistryOptions()
_SECONDS_TO_END = 2.0
_MOST_CHILDREN = 4  # that verify at the same time: each holds a whole file, parsed, and wants a core
_BYTES_WORTH_A_CHILD = 64 * 2**20  # verified in the 0.3 s that a child takes to import onnx

Report = Callable[[str, Literal["loaded", "unloaded", "rejected"]], None]
"""Is told the name of a model and what became of one of its versions."""
Unverified = Mapping[str, Iterable[UnverifiedVersion]]


class Reconciler:
    """Follows a folder. A version that takes over is verified in a child process, loaded and warmed up before it does;
    requests that began on the old one are finished on it, and with the last of them it leaves memory. With
    `options.lazy` a model that nobody has asked yet is only verified.

    Args:
        report: is told of every change.
    """

    def __init__(self, scanner: RepositoryScanner, loader: Loader, options: RegistryOptions, report: Report) -> None:
        self.registry = ModelRegistry(loader, self._load_lazily, options.default_model)
        self._scanner = scanner
        self._loader = loader
        self._options = options
        self._report = report
        self._starting = True
        self._lock = threading.Lock()
        self._one_load = threading.Lock()
        self._children = threading.BoundedSemaphore(_MOST_CHILDREN)
        self._states: dict[str, ModelState] = {}
        self._ended = threading.Event()
        self._watcher: threading.Thread | None = None

    def start(self) -> None:
        """Verifies and loads what is there, before anybody asks.

        Raises:
            StartError: onnxruntime does not take the device that was chosen.
        """
        _finish(self._begin())
        self._starting = False

    def refresh(self, *, settled: bool = False) -> None:
        """Brings all models up to date; with `settled`, but for what may still be being written.

        A folder that cannot be read changes nothing.
        """
        _finish(self._begin(settled=settled))

    def load(self, name: str) -> ModelVersions:
        """Looks at a model's folder now, and has the model answer again if it was unloaded.

        Raises:
            UnknownModel: the repository has no such model.
            VersionRejected: none of its versions is fit to be served.
        """
        if name not in self.registry.models and not self._scanner.has(name):
            raise self._unknown(name)
        state = self._state(name)
        with state.turn:
            with self._lock:
                state.unloaded = False
                state.in_use = True
                state.forget_failures()
            self._scanner.forget_rejected(name)
            self._verify(self._scan(name).get(name, ()))
            self._settle(name)
        found = self.registry.models.get(name, ModelVersions())
        if found.default is None:
            reasons = "; ".join(f"{version.number}: {version.reason or version.state}" for version in found.versions)
            raise VersionRejected(f"no version of {name!r} is fit to be served ({reasons or 'it has none'})", "name")
        return found

    def unload(self, name: str) -> ModelVersions:
        """Takes a model out of service until it is loaded again; what it is at work on is finished.

        Raises:
            UnknownModel: there is no such model.
        """
        if name not in self.registry.models:
            raise self._unknown(name)
        state = self._state(name)
        with self._lock:  # not its turn: what is being verified or loaded for it must not keep it in service
            state.unloaded = True
            state.in_use = False
        self._settle(name)
        return self.registry.models.get(name, ModelVersions())

    def watch(self, seconds: float) -> None:
        """Follows the folder from now on, looking every so often."""

        def follow() -> None:
            while not self._ended.wait(seconds):
                try:
                    self._begin(settled=True, skip_busy=True)  # waits for none: a slow model must not hold up others
                except Exception:  # whatever it is, the next look may do better
                    _log.exception("looking at the model repository failed")

        self._watcher = threading.Thread(target=follow, name="reconciler", daemon=True)
        self._watcher.start()

    def close(self) -> None:
        """Follows the folder no longer. A version that is just being verified or loaded is not waited for."""
        self._ended.set()
        if self._watcher is not None:
            self._watcher.join(_SECONDS_TO_END)

    def _begin(self, *, settled: bool = False, skip_busy: bool = False) -> list[Future[None]]:
        """Publishes what is known already, and begins, beside it, what takes time: a thread for each model."""
        unverified = self._scan(settled=settled)
        names = sorted({*self._scanner.names, *self.registry.models})
        slow = [name for name in names if self._publish(name) is not None or unverified.get(name)]
        groups = [[name] for name in slow]
        if self._starting:  # all of them are waited for: a child for each would only import onnx more often
            size = sum(version.size for name in slow for version in unverified.get(name, ()))
            count = min(_MOST_CHILDREN, cpu_count(), 1 + size // _BYTES_WORTH_A_CHILD)
            groups = [slow[index::count] for index in range(min(count, len(slow)))]
        return [
            in_background(partial(self._reconcile, group, unverified, skip_busy), f"reconcile-{group[0]}")
            for group in groups
        ]

    def _scan(self, only: str | None = None, *, settled: bool = False) -> Unverified:
        try:
            unverified = self._scanner.scan(only, settled=settled)
        except OSError as error:
            _log.error("the model repository cannot be read: %s; what was loaded serves on", error)
            return {}
        self.registry.unreadable = self._scanner.unreadable
        return unverified

    def _reconcile(self, names: list[str], unverified: Unverified, skip_busy: bool) -> None:
        """Has the new versions of models verified, and loads what is to answer; one model, but at the start."""
        try:
            with ExitStack() as turns:
                for name in names:
                    turn = self._state(name).turn
                    if not turn.acquire(blocking=not skip_busy):
                        return  # the next look will find it again
                    turns.callback(turn.release)
                self._verify(version for name in names for version in unverified.get(name, ()))
                for name in names:
                    self._settle(name)
        except Exception:
            if not self._starting:  # there may be nobody who waits for it
                _log.exception("bringing %s up to date failed", ", ".join(names))
            raise

    def _verify(self, versions: Iterable[UnverifiedVersion]) -> None:
        if versions := list(versions):
            with self._children:
                self._scanner.verify(versions)

    def _settle(self, name: str) -> None:
        """Loads what is to answer and is not in memory, one version after the other, then publishes."""
        while (missing := self._publish(name)) is not None:
            with self._one_load:
                with self._lock:  # while it waited, another thread may have loaded it, or an administrator unloaded it
                    still_missing = self._choose(name) == missing
                if still_missing:
                    self._load(missing)

    def _load_lazily(self, model: VerifiedModel) -> None:
        """Loads a version that is asked for the first time, and has it answer; or rejects it."""
        with self._one_load:
            with self._lock:
                found = self.registry.models.get(model.name, ModelVersions())
                due = model in found.available and not self._state(model.name).is_loaded(model.version)
            if due:
                self._load(model)
        self._settle(model.name)

    def _load(self, model: VerifiedModel) -> None:
        """Loads a version, or finds out why it cannot be; whatever it is, other models must be looked at."""
        outcome: Servable | str
        try:
            outcome = self._loader.load(model)
        except Exception as error:
            if self._starting and isinstance(error, StartError):
                raise
            if isinstance(error, ModelRejected):
                _log.error("%s:%d rejected: %s", model.name, model.version, error)
                outcome = str(error)
            else:
                _log.exception("%s:%d cannot be loaded", model.name, model.version)
                outcome = f"cannot be loaded: {error}"
        with self._lock:
            self._state(model.name).note(model.scanned, outcome)

    def _choose(self, name: str) -> ModelVersions | VerifiedModel:
        before = self.registry.models.get(name, ModelVersions())
        return self._state(name).choose(self._scanner.versions(name), before)

    def _publish(self, name: str) -> VerifiedModel | None:
        """Has the versions answer that are to; or returns the one to be loaded before, and changes nothing."""
        with self._lock:
            before = self.registry.models.get(name, ModelVersions())
            after = self._choose(name)
            if isinstance(after, VerifiedModel):
                return after
            state = self._state(name)
            if after.default is not None and not isinstance(after.default, VerifiedModel):
                state.in_use = True
            there = after.versions or name in self._scanner.names
            self.registry.replace(name, after if there else None)
            state.keep_only(after.loaded, self._scanner.versions(name))
            self._tell(name, before, after)
        return None

    def _tell(self, name: str, before: ModelVersions, after: ModelVersions) -> None:
        known = {version.number for version in before.versions if version.state == "rejected"}
        for version in after.versions:
            if version.state == "rejected" and version.number not in known:
                self._report(name, "rejected")
        for number in before.loaded.keys() - after.loaded.keys():
            self._report(name, "unloaded")
            _log.info("%s:%d is unloaded after its last request", name, number)
        model = after.default
        if model is not None and not isinstance(model, VerifiedModel) and model is not before.default:
            self._report(name, "loaded")
            plan = f"plan {model.contract.plan}" if model.contract else "without a contract"
            _log.info("%s:%d serves on %s, %s", name, model.version, self._loader.device.name, plan)

    def _state(self, name: str) -> ModelState:
        state = self._states.get(name)  # of two threads that both find none, setdefault lets one win
        return state if state is not None else self._states.setdefault(name, ModelState(name, self._options))

    def _unknown(self, name: str) -> UnknownModel:
        return UnknownModel(f"no model {name!r}; there are: {', '.join(self.registry.models) or 'none'}", "name")


def open_repository(
    folder: Path, device: Device, options: RegistryOptions = _DEFAULTS, report: Report = lambda *_: None
) -> Reconciler:
    """The models of a folder `<name>/<version>/model.onnx`, verified and loaded as the options say.

    Beside `model.onnx` there may be plans for devices, which are preferred there.

    Args:
        device: where models run.
        report: is told of every change, those of the start among them.

    Raises:
        StartError: no such folder, or a pinned version or the default model is not there or not fit; or a policy is for
            no model, or none that a model can keep; or onnxruntime does not take the device.
    """
    try:
        scanner = RepositoryScanner(folder, device.name, allow_bare=options.allow_bare_onnx)
    except OSError as error:
        raise StartError(
            f"MASKSEMBLES_MODEL_REPOSITORY: {folder} is no folder that can be read: {error.strerror}"
        ) from error
    loader = Loader(LoadOptions(device, cpu_count(), options.max_batch, options.policies))
    reconciler = Reconciler(scanner, loader, options, report)
    reconciler.start()
    registry = reconciler.registry
    for name, number in options.pin.items():
        if name not in registry.serving:
            why_not = _why_not(registry.models.get(name, ModelVersions()), number)
            raise StartError(f"MASKSEMBLES_PIN: {name}:{number} cannot be served: {why_not}")
    for name in options.policies:
        if name != EVERY_MODEL and name not in registry.serving:
            raise StartError(f"MASKSEMBLES_POLICY: {name!r} cannot be served; there are: {registry.names()}")
    for model in registry.serving.values():  # those too that are not loaded yet
        loader.policy(model)
    default = options.default_model
    if default is not None and default not in registry.serving:
        raise StartError(f"MASKSEMBLES_DEFAULT_MODEL: {default!r} cannot be served; there are: {registry.names()}")
    return reconciler


def _why_not(found: ModelVersions, number: int) -> str:
    known = {version.number: version for version in found.versions}
    if number not in known:
        versions = ", ".join(map(str, known))
        return f"the repository has versions {versions}" if known else "the repository has no such model"
    return known[number].reason or "it was not loaded"


def _finish(running: list[Future[None]]) -> None:
    """Waits for all, and raises the first error."""
    wait(running)
    for future in running:
        future.result()

"""Brings the registry in line with the repository: verifies and loads while the old versions answer, then swaps.

Three locks keep threads from waiting for work that does not concern them. A model's `turn` is held while its new files
are verified, which may take minutes; only threads that update the same model wait for it. `_one_load` is held while a
model is loaded: loading takes more memory than the model itself, so models load one at a time. `_lock` guards the
shared state and is held only for moments. A thread that holds several took them in this order.
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
from app.engine.heap import trim_after
from app.engine.loader import Loader
from app.engine.model import LoadOptions
from app.engine.model_state import ModelState
from app.engine.model_versions import ModelVersions, VerifiedModel
from app.engine.options import RegistryOptions
from app.engine.reason import reason
from app.engine.registry import ModelRegistry
from app.engine.repository import RepositoryScanner
from app.engine.scanned_version import UnverifiedVersion
from app.errors import UnknownModel, VersionRejected
from app.failures import FileUnreadable, ModelRejected, StartError

_log = logging.getLogger(__name__)

_DEFAULTS = RegistryOptions()
_SECONDS_TO_END = 2.0
_MOST_CHILDREN = 4  # verifiers at the same time: each holds a whole file, parsed, and needs a core
_BYTES_WORTH_A_CHILD = 64 * 2**20  # verified in the 0.3 s that a child takes to import onnx

Report = Callable[[str, Literal["loaded", "unloaded", "rejected"]], None]
"""Called with the name of a model and what happened to one of its versions."""
Unverified = Mapping[str, Iterable[UnverifiedVersion]]


class Reconciler:
    """Follows a folder.

    A child process verifies a new version; it is loaded and warmed up before it takes over. Requests that began on the
    old version finish on it, and with the last of them it leaves memory. With `options.lazy`, a model that no request
    has asked for is only verified.

    Args:
        report: called for every change.
    """

    def __init__(self, scanner: RepositoryScanner, loader: Loader, options: RegistryOptions, report: Report) -> None:
        self.registry = ModelRegistry(loader, self._load_lazily, options.default_model)
        self._scanner = scanner
        self._loader = loader
        self._options = options
        self._report = report
        self._starting = True
        self._unreadable: str | None = None
        self._lock = threading.Lock()
        self._one_load = threading.Lock()
        self._children = threading.BoundedSemaphore(_MOST_CHILDREN)
        self._states: dict[str, ModelState] = {}
        self._ended = threading.Event()
        self._watcher: threading.Thread | None = None

    def start(self) -> None:
        """Verifies and loads what is there, before any request.

        Raises:
            StartError: onnxruntime does not run on the chosen device.
        """
        _finish(self._begin())
        self._starting = False

    def refresh(self, *, settled: bool = False) -> None:
        """Brings all models up to date; with `settled`, leaves out files that may still be being written.

        A folder that cannot be read changes nothing.
        """
        _finish(self._begin(settled=settled))

    def load(self, name: str) -> ModelVersions:
        """Scans a model's folder now, and puts the model back into service if it was unloaded.

        Raises:
            UnknownModel: the repository has no such model.
            VersionRejected: none of its versions is fit to be served.
        """
        if name not in self.registry.models and not self._scanner.has(name):
            raise self._unknown(name)
        state = self._state(name)
        with state.turn:  # waits for a verification under way, or the same files would be verified twice
            with self._lock:
                state.unloaded = False
                state.in_use = True
                state.forget_failures()
            self._scanner.look_again(name)  # memory or a permission may be there now: same bytes, other result
            self._verify(self._scan(name).get(name, ()))
            self._settle(name)
        found = self.registry.models.get(name, ModelVersions())
        if found.default is None:
            reasons = "; ".join(f"{version.number}: {version.reason or version.state}" for version in found.versions)
            raise VersionRejected(f"no version of {name!r} is fit to be served ({reasons or 'it has none'})", "name")
        return found

    def unload(self, name: str) -> ModelVersions:
        """Takes a model out of service until it is loaded again; requests at work are finished.

        Raises:
            UnknownModel: there is no such model.
        """
        if name not in self.registry.models:
            raise self._unknown(name)
        state = self._state(name)
        with self._lock:  # not its turn: that may be held for minutes, and the model would serve on
            state.unloaded = True
            state.in_use = False
        self._settle(name)
        return self.registry.models.get(name, ModelVersions())

    def watch(self, seconds: float) -> None:
        """Follows the folder from now on; scans it every `seconds` seconds."""

        def follow() -> None:
            while not self._ended.wait(seconds):
                try:
                    self._begin(settled=True, skip_busy=True)  # waits for no model: a slow one must not hold up others
                except Exception:  # whatever it is, the next scan may do better
                    _log.exception("looking at the model repository failed")

        self._watcher = threading.Thread(target=follow, name="reconciler", daemon=True)
        self._watcher.start()

    def close(self) -> None:
        """Stops following the folder. Does not wait for a version that is being verified or loaded."""
        self._ended.set()
        if self._watcher is not None:
            self._watcher.join(_SECONDS_TO_END)

    def _begin(self, *, settled: bool = False, skip_busy: bool = False) -> list[Future[None]]:
        """Publishes what is known already, and starts a thread for each model that needs more time."""
        unverified = self._scan(settled=settled)
        names = sorted({*self._scanner.names, *self.registry.models})
        slow = [name for name in names if self._publish(name) is not None or unverified.get(name)]
        groups = [[name] for name in slow]
        if self._starting:  # the start waits for all: a child for each would only import onnx more often
            size = sum(version.size for name in slow for version in unverified.get(name, ()))
            cores = cpu_count(sharing=self._options.workers)
            count = min(_MOST_CHILDREN, cores, 1 + size // _BYTES_WORTH_A_CHILD)
            groups = [slow[index::count] for index in range(min(count, len(slow)))]
        return [
            in_background(partial(self._reconcile, group, unverified, skip_busy), f"reconcile-{group[0]}")
            for group in groups
        ]

    def _scan(self, only: str | None = None, *, settled: bool = False) -> Unverified:
        try:
            unverified = self._scanner.scan(only, settled=settled)
        except OSError as error:
            reason = error.strerror or str(error)
            if reason != self._unreadable:  # once, not at every scan
                _log.error("the model repository cannot be read: %s; what was loaded serves on", reason)
            self._unreadable = reason
            return {}
        if self._unreadable:
            _log.info("the model repository can be read again")
        self._unreadable = None
        self.registry.unreadable = self._scanner.unreadable
        return unverified

    def _reconcile(self, names: list[str], unverified: Unverified, skip_busy: bool) -> None:
        """Verifies the new versions of models and loads what is to answer; one model, except at the start."""
        try:
            with ExitStack() as turns:
                for name in names:
                    turn = self._state(name).turn
                    if not turn.acquire(blocking=not skip_busy):
                        return  # the next scan will find it again
                    turns.callback(turn.release)
                self._verify(version for name in names for version in unverified.get(name, ()))
                for name in names:
                    self._settle(name)
        except Exception:
            if not self._starting:  # perhaps nobody waits for the future, and the error would vanish
                _log.exception("bringing %s up to date failed", ", ".join(names))
            raise

    def _verify(self, versions: Iterable[UnverifiedVersion]) -> None:
        if versions := list(versions):
            with self._children:  # the turns bound it per model, not in all
                self._scanner.verify(versions)

    def _settle(self, name: str) -> None:
        """Loads what is to answer and is not in memory, one version at a time, then publishes."""
        while (missing := self._publish(name)) is not None:
            with self._one_load:
                with self._lock:  # while it waited, another thread may have loaded it, or an administrator unloaded it
                    still_missing = self._choose(name) == missing
                if still_missing:
                    self._load(missing)  # outside of the lock, so that unloads and publishing go on

    def _load_lazily(self, model: VerifiedModel) -> None:
        """Loads a version for its first request and publishes it, or rejects it."""
        with self._one_load:
            with self._lock:
                found = self.registry.models.get(model.name, ModelVersions())
                due = model in found.available and not self._state(model.name).is_loaded(model.version)
            if due:  # unloaded or replaced while this waited: the request looks again
                self._load(model)
        self._settle(model.name)

    def _load(self, model: VerifiedModel) -> None:
        """Loads a version, or notes why that failed; other models must go on whatever the error is."""
        outcome: Servable | str
        try:
            outcome = self._loader.load(model)
        except FileUnreadable as error:
            _log.error("%s:%d: %s: %s", model.name, model.version, model.scanned.path.name, error)
            self._scanner.doubt(model.scanned, str(error))
            return
        except Exception as error:
            if self._starting and isinstance(error, StartError):
                raise  # the device is wrong for every model; later, the old ones still answer
            if isinstance(error, ModelRejected):
                outcome = reason(str(error))
                _log.error("%s:%d rejected: %s", model.name, model.version, outcome)
            else:
                _log.exception("%s:%d cannot be loaded", model.name, model.version)
                outcome = reason(f"cannot be loaded: {error}")
        with self._lock:
            self._state(model.name).note(model.scanned, outcome)

    def _choose(self, name: str) -> ModelVersions | VerifiedModel:
        before = self.registry.models.get(name, ModelVersions())
        return self._state(name).choose(self._scanner.versions(name), before)

    def _publish(self, name: str) -> VerifiedModel | None:
        """Publishes the versions that are to answer; or returns one to load first, and changes nothing."""
        with self._lock:
            before = self.registry.models.get(name, ModelVersions())
            after = self._choose(name)
            if isinstance(after, VerifiedModel):
                return after
            state = self._state(name)  # once in memory, its successors are loaded before any request
            if after.default is not None and not isinstance(after.default, VerifiedModel):
                state.in_use = True
            there = after.versions or name in self._scanner.names
            self.registry.replace(name, after if there else None)  # before the old model is let go
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
            trim_after(before.loaded[number])
            _log.info("%s:%d is unloaded after its last request", name, number)
        model = after.default
        if model is not None and not isinstance(model, VerifiedModel) and model is not before.default:
            self._report(name, "loaded")
            plan = f"plan {model.contract.plan}" if model.contract else "without a contract"
            _log.info("%s:%d serves on %s, %s", name, model.version, self._loader.device.name, plan)
            for warning in model.contract.warnings if model.contract else ():
                _log.warning("%s:%d: %s", name, model.version, warning)

    def _state(self, name: str) -> ModelState:
        state = self._states.get(name)  # two threads may both find none: setdefault lets one win
        return state if state is not None else self._states.setdefault(name, ModelState(name, self._options))

    def _unknown(self, name: str) -> UnknownModel:
        return UnknownModel(f"no model {name!r}; there are: {', '.join(self.registry.models) or 'none'}", "name")


def open_repository(
    folder: Path, device: Device, options: RegistryOptions = _DEFAULTS, report: Report = lambda *_: None
) -> Reconciler:
    """Opens a folder of models, `<name>/<version>/model.onnx`; verifies and loads them as the options say.

    Beside `model.onnx` there may be plans for devices; a plan for the chosen device is preferred.

    Args:
        device: where models run.
        report: called for every change, including those of the start.

    Raises:
        StartError: the folder does not exist; a pinned version or the default model is missing or unfit; a policy names
            an unknown model or does not fit its model; or onnxruntime does not run on the device.
    """
    try:
        scanner = RepositoryScanner(folder, device.name, allow_bare=options.allow_bare_onnx)
    except OSError as error:
        raise StartError(
            f"MASKSEMBLES_MODEL_REPOSITORY: {folder} is no folder that can be read: {error.strerror}"
        ) from error
    threads = cpu_count(sharing=options.workers)
    loader = Loader(LoadOptions(device, threads, options.max_batch, options.policies))
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
    for model in registry.serving.values():  # also those not loaded yet: a bad policy must end the start
        loader.policies(model)
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
    """Waits for all futures and raises the first error."""
    wait(running)  # for all, first: no thread may still load while the process gives up
    for future in running:
        future.result()

"""The models of a store: which versions there are, which are fit to be served, and the one of each that answers."""

import hashlib
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from app.contract import naming, schema
from app.engine.device import Device
from app.engine.model import Model
from app.engine.session import Session
from app.engine.verdict import Verdict, verify
from app.errors import ModelRefused, StartError, UnknownModel, UnknownVersion

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Version:
    """A version in the store: `serving`, fit to but not the one that answers (`standby`), or `refused` and why."""

    number: int
    state: Literal["serving", "standby", "refused"]
    reason: str | None = None
    contract: schema.Contract | None = None


class Store:
    """Opened once at start: verifies every version in a child process, then loads the one of each model that answers.

    Args:
        folder: that holds `<name>/<version>/model.onnx`, and beside it plans for devices, which are preferred there.
        device: where models run.
        pin: versions that answer instead of the highest valid one.
        default: the model that answers when none is named.
        load_all: load the versions that stand by too, to find out whether they could be served.

    Raises:
        StartError: no such folder, or a pinned version or the default model is not there or not fit.
    """

    def __init__(
        self,
        folder: Path,
        device: Device,
        pin: dict[str, int] | None = None,
        default: str | None = None,
        *,
        load_all: bool = False,
    ) -> None:
        folder = folder.resolve()
        try:
            names = naming.names(folder)
        except OSError as error:
            raise StartError(f"MASKSEMBLES_STORE: {folder} is no folder that can be read: {error.strerror}") from error
        self.device = device
        self._load_all = load_all
        self._runner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="runner")
        self.serving: dict[str, Model] = {}  # the models that answer, by name
        self.versions: dict[str, list[Version]] = {}
        self.unreadable: dict[str, str] = {}  # the models whose folder cannot be read, and why
        paths = {name: self._find(folder, name) for name in names}
        verdicts = verify(path for found in paths.values() for files in found.values() for path in files)
        for name, found in paths.items():
            self.versions[name] = [
                self._settle(name, number, {path: verdicts[path] for path in files}, (pin or {}).get(name))
                for number, files in sorted(found.items(), reverse=True)
            ][::-1]
        for name, number in (pin or {}).items():
            if name not in self.serving:
                raise StartError(f"MASKSEMBLES_PIN: {name}:{number} cannot be served: {self._why_not(name, number)}")
        if default is not None and default not in self.serving:
            raise StartError(f"MASKSEMBLES_DEFAULT_MODEL: {default!r} cannot be served; there are: {self._names()}")
        self.default = default if default or len(self.serving) != 1 else next(iter(self.serving))

    def find(self, name: str | None, version: int | None) -> Model:
        """The model for a request.

        Raises:
            UnknownModel: none of that name answers, or none is named and there is no default.
            UnknownVersion: another version of it answers.
        """
        if name is None:
            if self.default is None:
                raise UnknownModel(f"name the model: there is no default; there are: {self._names()}", "model")
            name = self.default
        model = self.serving.get(name)
        if model is None:
            raise UnknownModel(f"no model {name!r} is served; there are: {self._names()}", "model")
        if version is not None and version != model.version:
            raise UnknownVersion(f"version {version} of {name!r} is not served; version {model.version} is", "version")
        return model

    def close(self) -> None:
        """Finishes the run in progress and ends the runner thread."""
        self._runner.shutdown()

    def _find(self, folder: Path, name: str) -> dict[int, list[Path]]:
        """The files of each version: the portable one, and after it the plan for this device, where there is one."""
        try:
            return {
                number: [
                    naming.model_path(folder, name, number),
                    *filter(Path.exists, [naming.plan_path(folder, name, number, self.device.name)]),
                ]
                for number in naming.versions(folder, name)
            }
        except OSError as error:
            self.unreadable[name] = error.strerror or str(error)
            _log.error("%s: its folder cannot be read: %s", name, self.unreadable[name])
            return {}

    def _settle(self, name: str, number: int, files: dict[Path, Verdict], pinned: int | None) -> Version:
        """What becomes of a version; asked highest first, so the first one fit to be served is the one that answers."""
        answers = name not in self.serving and pinned in (None, number)
        try:
            path, contract, digest = _choose(files)
            if answers or self._load_all:
                content = _read(path, digest)
                model = Model(name, number, contract, Session(content, self.device), self._runner)
                if answers:
                    self.serving[name] = model
        except ModelRefused as error:
            _log.error("%s:%d refused: %s", name, number, error)
            return Version(number, "refused", reason=str(error))
        if answers:
            _log.info("%s:%d serves on %s, plan %s", name, number, self.device.name, contract.plan)
        return Version(number, "serving" if answers else "standby", contract=contract)

    def _names(self) -> str:
        return ", ".join(self.serving) or "none"

    def _why_not(self, name: str, number: int) -> str:
        known = {version.number: version for version in self.versions.get(name, [])}
        if number not in known:
            return f"the store has versions {', '.join(map(str, known))}" if known else "the store has no such model"
        return known[number].reason or "it was not loaded"


def _choose(files: dict[Path, Verdict]) -> tuple[Path, schema.Contract, str]:
    """The last file of a version, its contract and digest, when all of its files are sound and hold the same model."""
    chosen: tuple[Path, schema.Contract, str] | None = None
    for path, verdict in files.items():
        if verdict.contract is None or verdict.digest is None:
            raise ModelRefused(f"{path.name}: {verdict.refused}" if chosen else verdict.refused)
        if chosen and not verdict.contract.same_model(chosen[1]):
            raise ModelRefused(f"{path.name}: its contract is not that of {chosen[0].name}")
        chosen = (path, verdict.contract, verdict.digest)
    if chosen is None:
        raise ModelRefused("has no file")
    return chosen


def _read(path: Path, digest: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelRefused(f"cannot be read: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise ModelRefused("its bytes changed after they were verified")
    return content

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
        folder: that holds `<name>/<version>/model.onnx`.
        device: where models run.
        pin: versions that answer instead of the highest valid one.
        default: the model that answers when none is named.

    Raises:
        StartError: no such folder, or a pinned version or the default model is not there or not fit.
    """

    def __init__(
        self, folder: Path, device: Device, pin: dict[str, int] | None = None, default: str | None = None
    ) -> None:
        folder = folder.resolve()
        if not folder.is_dir():
            raise StartError(f"MASKSEMBLES_STORE: {folder} is no folder")
        self.device = device
        self._runner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="runner")
        self.serving: dict[str, Model] = {}  # the models that answer, by name
        self.versions: dict[str, list[Version]] = {}
        paths = {
            (name, number): naming.model_path(folder, name, number)
            for name in naming.names(folder)
            for number in naming.versions(folder, name)
        }
        verdicts = verify(paths.values())
        for name in sorted({name for name, _ in paths}):
            found = {number: paths[other, number] for other, number in paths if other == name}
            self.versions[name] = [
                self._settle(name, number, path, verdicts[path], (pin or {}).get(name))
                for number, path in sorted(found.items(), reverse=True)
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

    def _settle(self, name: str, number: int, path: Path, verdict: Verdict, pinned: int | None) -> Version:
        """What becomes of a version; asked highest first, so the first one fit to be served is the one that answers."""
        try:
            if verdict.contract is None:
                raise ModelRefused(verdict.refused)
            if name in self.serving or pinned not in (None, number):
                return Version(number, "standby", contract=verdict.contract)
            self.serving[name] = self._open(name, number, path, verdict.contract, verdict.digest)
        except ModelRefused as error:
            _log.error("%s:%d refused: %s", name, number, error)
            return Version(number, "refused", reason=str(error))
        _log.info("%s:%d serves on %s", name, number, self.device.name)
        return Version(number, "serving", contract=verdict.contract)

    def _open(self, name: str, number: int, path: Path, contract: schema.Contract, digest: str | None) -> Model:
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != digest:
            raise ModelRefused("its bytes changed after they were verified")
        return Model(name, number, contract, Session(content, self.device), self._runner)

    def _names(self) -> str:
        return ", ".join(self.serving) or "none"

    def _why_not(self, name: str, number: int) -> str:
        known = {version.number: version for version in self.versions.get(name, [])}
        if number not in known:
            return f"the store has versions {', '.join(map(str, known))}" if known else "the store has no such model"
        return known[number].reason or "it was not loaded"

"""Turns a verified file into a model in memory."""

import hashlib
from pathlib import Path

from app.contract.decisions import DecisionPolicy
from app.contract.signature import Signature
from app.engine import model_file
from app.engine.bare_model import Servable, load_bare
from app.engine.device import Device
from app.engine.model import LoadOptions, load, policies_for
from app.engine.model_versions import AvailableModel, VerifiedModel
from app.failures import FileUnreadable, PolicyMismatch


class Loader:
    """Loads versions and warms them up; keeps none of them."""

    def __init__(self, options: LoadOptions) -> None:
        self._options = options

    @property
    def device(self) -> Device:
        """Where models run."""
        return self._options.device

    def policies(self, model: AvailableModel) -> dict[str, DecisionPolicy]:
        """The policies for a model's answers, by the head that they are about; the model need not be loaded.

        Raises:
            PolicyMismatch: the operator's policy does not fit this version.
        """
        policies = self._options.policies
        if model.contract is not None:
            return policies_for(policies, model.name, model.version, model.contract)
        if policies.get(model.name):
            raise PolicyMismatch(f"MASKSEMBLES_POLICY: {model.name}:{model.version} has no contract, hence no scores")
        return {}

    def load(self, version: VerifiedModel) -> Servable:
        """Loads a version into memory.

        Raises:
            FileUnreadable: the file cannot be read or is not the one that was verified.
            ModelRejected: see model.load.
            PolicyMismatch: see policies.
            StartError: see model.load.
        """
        name, number, declared = version.name, version.version, version.declared
        self.policies(version)  # before any work: the contract alone shows whether the policy fits
        content = _read(version.scanned.path, version.scanned.digests[-1])
        if isinstance(declared, Signature):
            return load_bare(name, number, declared, content, self._options)
        return load(name, number, declared, content, self._options)


def _read(path: Path, digest: str) -> bytes:
    """Reads the bytes that were verified; the file may have changed since."""
    try:
        content = model_file.read(path)  # bounded: anything may lie there by now
    except OSError as error:
        raise FileUnreadable(f"cannot be read: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != digest:  # of the bytes that onnxruntime gets: no second read to race with
        raise FileUnreadable("its bytes changed after they were verified")
    return content

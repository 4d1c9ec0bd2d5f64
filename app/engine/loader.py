"""From a verified file to a model in memory."""

import hashlib
from pathlib import Path

from app.contract.decisions import DecisionPolicy
from app.contract.signature import Signature
from app.engine.bare_model import Servable, load_bare
from app.engine.device import Device
from app.engine.model import LoadOptions, load, policy_for
from app.engine.model_versions import AvailableModel, VerifiedModel
from app.errors import ModelRejected, PolicyMismatch


class Loader:
    """Loads versions and warms them up. Keeps none of them."""

    def __init__(self, options: LoadOptions) -> None:
        self._options = options

    @property
    def device(self) -> Device:
        """Where models run."""
        return self._options.device

    def policy(self, model: AvailableModel) -> DecisionPolicy | None:
        """What decides on a model's answers, if anything does, whether it is loaded or not.

        Raises:
            PolicyMismatch: the operator's policy for it is none for this version.
        """
        policies = self._options.policies
        if model.contract is not None:
            return policy_for(policies, model.name, model.version, model.contract)
        if policies.get(model.name):
            raise PolicyMismatch(f"MASKSEMBLES_POLICY: {model.name}:{model.version} has no contract, hence no scores")
        return None

    def load(self, version: VerifiedModel) -> Servable:
        """The version in memory.

        Raises:
            ModelRejected: the file cannot be read or is not the one that was verified, or see model.load.
            PolicyMismatch: see policy.
            StartError: see model.load.
        """
        name, number, declared = version.name, version.version, version.declared
        self.policy(version)  # before any work: a policy that cannot be kept is known from the contract alone
        content = _read(version.scanned.path, version.scanned.digests[-1])
        if isinstance(declared, Signature):
            return load_bare(name, number, declared, content, self._options)
        return load(name, number, declared, content, self._options)


def _read(path: Path, digest: str) -> bytes:
    """The bytes that were verified: between then and now somebody may have written others."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelRejected(f"cannot be read: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise ModelRejected("its bytes changed after they were verified")
    return content

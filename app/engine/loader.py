"""From a verified file to a model in memory."""

import hashlib
from pathlib import Path

from app.contract.decisions import DecisionPolicy
from app.contract.policy import Policies
from app.contract.signature import Signature
from app.engine.bare_model import Servable, load_bare
from app.engine.device import Device
from app.engine.model import judge, load
from app.engine.model_versions import Answering, UnloadedModel
from app.errors import ModelRejected, PolicyMismatch


class Loader:
    """Loads versions and warms them up.

    Args:
        device: where models run.
        threads: the most threads for one batch, on a CPU.
        most_batch: the largest batch that will be asked of a model, in rows.
        policies: the operator's.
    """

    def __init__(self, device: Device, threads: int, most_batch: int, policies: Policies) -> None:
        self._device = device
        self._threads = threads
        self._most_batch = most_batch
        self._policies = policies

    def judge(self, model: Answering) -> DecisionPolicy | None:
        """What decides on a model's answers, if anything does, whether it is loaded or not.

        Raises:
            PolicyMismatch: the operator's policy for it is none for this version.
        """
        if model.contract is not None:
            return judge(self._policies, model.name, model.version, model.contract)
        if self._policies.get(model.name):
            raise PolicyMismatch(f"MASKSEMBLES_POLICY: {model.name}:{model.version} has no contract, hence no scores")
        return None

    def load(self, version: UnloadedModel) -> Servable:
        """The version in memory.

        Raises:
            ModelRejected: the file cannot be read or is not the one that was verified, or see model.load.
            PolicyMismatch: see judge.
            StartError: see model.load.
        """
        name, number, declared = version.name, version.version, version.declared
        self.judge(version)
        content = _read(version.entry.path, version.entry.digests[-1])
        if isinstance(declared, Signature):
            return load_bare(name, number, declared, content, self._device, self._threads)
        return load(name, number, declared, content, self._device, self._threads, self._most_batch, self._policies)


def _read(path: Path, digest: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelRejected(f"cannot be read: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise ModelRejected("its bytes changed after they were verified")
    return content

"""A model in the repository: its versions, the state of each, and which of them answer."""

from dataclasses import dataclass
from typing import Literal

from app.contract import schema, signature
from app.contract.signature import Signature
from app.engine.bare_model import Servable
from app.engine.scanned_version import ScannedVersion

VersionState = Literal["available", "standby", "unloaded", "rejected"]


@dataclass(frozen=True)
class VersionStatus:
    """A version and its state.

    An `available` version answers, by default or when a request names it. One on `standby` could answer and does not;
    an `unloaded` one does not because an administrator took its model out of service; a `rejected` one is not fit to.
    `reason` says why it is rejected, what happened to its files since it was loaded, why its plan is not used, or that
    it has no contract.
    `loaded` says whether it is in memory; an available version that is not gets loaded by its first request.
    """

    number: int
    state: VersionState
    reason: str | None = None
    contract: schema.Contract | None = None
    loaded: bool = False


@dataclass(frozen=True)
class VerifiedModel:
    """A version that is verified but not loaded; it knows what its file declares."""

    scanned: ScannedVersion
    declared: schema.Contract | Signature

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.scanned.name

    @property
    def version(self) -> int:
        """Number of the version."""
        return self.scanned.number

    @property
    def contract(self) -> schema.Contract | None:
        """The file's contract; None if it has none."""
        return None if isinstance(self.declared, Signature) else self.declared

    @property
    def signature(self) -> Signature:
        """Inputs and outputs of the graph."""
        return self.declared if isinstance(self.declared, Signature) else signature.of(self.declared)


AvailableModel = Servable | VerifiedModel
"""A model that answers: now, or as soon as it is loaded."""


@dataclass(frozen=True)
class ModelVersions:
    """A model: its versions, lowest first, and those that answer. Replaced as a whole, never changed.

    `default` answers requests that name no version; `kept` are lower versions, which answer requests that name them.
    """

    versions: tuple[VersionStatus, ...] = ()
    default: AvailableModel | None = None
    kept: tuple[AvailableModel, ...] = ()

    @property
    def available(self) -> tuple[AvailableModel, ...]:
        """All models that answer, the default first."""
        return self.kept if self.default is None else (self.default, *self.kept)

    @property
    def loaded(self) -> dict[int, Servable]:
        """The models in memory, by version."""
        return {model.version: model for model in self.available if not isinstance(model, VerifiedModel)}

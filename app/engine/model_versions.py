"""A model in the repository: its versions, what became of each, and which of them answer."""

from dataclasses import dataclass
from typing import Literal

from app.contract import schema, signature
from app.contract.signature import Signature
from app.engine.bare_model import Servable
from app.engine.repository import ScannedVersion

VersionState = Literal["available", "standby", "unloaded", "rejected"]


@dataclass(frozen=True)
class VersionStatus:
    """A version and what became of it.

    `available` answers, by default or when it is named; `standby` is fit to and does not; `unloaded` likewise, since an
    administrator took its model out of service; `rejected` is not fit to. `reason` says why it is rejected, what is
    wrong with its files since it was loaded, or that it has no contract. `loaded` says whether it is in memory; what is
    available and is not will be loaded at its first request.
    """

    number: int
    state: VersionState
    reason: str | None = None
    contract: schema.Contract | None = None
    loaded: bool = False


@dataclass(frozen=True)
class VerifiedModel:
    """A version that is fit to be loaded and is not yet; tells of itself what its file declares."""

    scanned: ScannedVersion
    declared: schema.Contract | Signature

    @property
    def name(self) -> str:
        """Of the model."""
        return self.scanned.name

    @property
    def version(self) -> int:
        """Its number."""
        return self.scanned.number

    @property
    def contract(self) -> schema.Contract | None:
        """None where its file has none."""
        return None if isinstance(self.declared, Signature) else self.declared

    @property
    def signature(self) -> Signature:
        """Its inputs and outputs."""
        return self.declared if isinstance(self.declared, Signature) else signature.of(self.declared)


AvailableModel = Servable | VerifiedModel
"""What answers: now, or as soon as it is loaded."""


@dataclass(frozen=True)
class ModelVersions:
    """A model: its versions, lowest first, and those of them that answer. Replaced as a whole, never changed.

    `default` answers requests without a version; `kept` are lower ones that answer requests which name them.
    """

    versions: tuple[VersionStatus, ...] = ()
    default: AvailableModel | None = None
    kept: tuple[AvailableModel, ...] = ()

    @property
    def available(self) -> tuple[AvailableModel, ...]:
        """All that answer, the default first."""
        return self.kept if self.default is None else (self.default, *self.kept)

    @property
    def loaded(self) -> dict[int, Servable]:
        """What is in memory, by version."""
        return {model.version: model for model in self.available if not isinstance(model, VerifiedModel)}

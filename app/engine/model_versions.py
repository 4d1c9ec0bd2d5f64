"""A model in the store: its versions, what became of each, and which of them answer."""

from dataclasses import dataclass
from typing import Literal

from app.contract import schema, signature
from app.contract.signature import Signature
from app.engine.bare_model import Servable
from app.engine.repository import ScannedVersion


@dataclass(frozen=True)
class VersionStatus:
    """A version and what became of it.

    `serving` answers, `kept` answers those who name it, `standby` is fit to, `refused` is not. `reason` says why it is
    rejected, what is wrong with its files since it was loaded, or that it has no contract. `loaded` says whether it is
    in memory; what answers and is not will be loaded at its first request.
    """

    number: int
    state: Literal["serving", "kept", "standby", "rejected"]
    reason: str | None = None
    contract: schema.Contract | None = None
    loaded: bool = False


@dataclass(frozen=True)
class UnloadedModel:
    """A version that is fit to be loaded and is not yet; tells of itself what its file declares."""

    entry: ScannedVersion
    declared: schema.Contract | Signature

    @property
    def name(self) -> str:
        """Of the model."""
        return self.entry.name

    @property
    def version(self) -> int:
        """Its number."""
        return self.entry.number

    @property
    def contract(self) -> schema.Contract | None:
        """None where its file has none."""
        return None if isinstance(self.declared, Signature) else self.declared

    @property
    def signature(self) -> Signature:
        """Its inputs and outputs."""
        return self.declared if isinstance(self.declared, Signature) else signature.of(self.declared)


Answering = Servable | UnloadedModel
"""What answers: now, or as soon as it is loaded."""


@dataclass(frozen=True)
class ModelVersions:
    """A model: its versions, lowest first, and those of them that answer. Replaced as a whole, never changed."""

    versions: tuple[VersionStatus, ...] = ()
    answering: Answering | None = None
    kept: tuple[Answering, ...] = ()

    @property
    def loaded(self) -> dict[int, Servable]:
        """What is in memory, by version."""
        there = (self.answering, *self.kept)
        return {model.version: model for model in there if model is not None and not isinstance(model, UnloadedModel)}

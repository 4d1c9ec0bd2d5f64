"""Which version of each model answers. Reading it never waits: it is a snapshot, which the reconciler replaces as a
whole."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from types import MappingProxyType

from app.contract.decisions import DecisionPolicy
from app.engine.bare_model import Servable
from app.engine.device import Device
from app.engine.loader import Loader
from app.engine.model_versions import AvailableModel, ModelVersions, VerifiedModel
from app.engine.single_flight import SingleFlight
from app.errors import DeadlineExceeded, PolicyMismatch, UnknownModel, UnknownVersion


class ModelRegistry:
    """Read by every request, in the event loop; written by the reconciler alone, from its threads.

    Args:
        loader: knows the device and the operator's policies.
        load: loads a version for its first request, and replaces the snapshot; it may take its time.
        default: the model that answers when none is named.
    """

    def __init__(self, loader: Loader, load: Callable[[VerifiedModel], None], default: str | None = None) -> None:
        self._loader = loader
        self._load = load
        self._default = default
        self._flights = SingleFlight()
        self.models: Mapping[str, ModelVersions] = MappingProxyType({})
        """All models of the repository, sorted by name; those too of which no version answers."""
        self.serving: Mapping[str, AvailableModel] = MappingProxyType({})
        """The models that answer, by name, each in the version that answers by default."""
        self.unreadable: Mapping[str, str] = MappingProxyType({})
        """The models whose folder cannot be read, and why."""

    def replace(self, name: str, versions: ModelVersions | None) -> None:
        """Has a model answer in these versions from now on, or takes it away. For one thread at a time.

        The mappings are replaced, not changed: somebody may be going through the old ones.
        """
        models = {other: found for other, found in self.models.items() if other != name}
        if versions is not None:
            models[name] = versions
        self.models = MappingProxyType(dict(sorted(models.items())))
        self.serving = MappingProxyType(
            {other: found.default for other, found in self.models.items() if found.default is not None}
        )

    @property
    def device(self) -> Device:
        """Where models run."""
        return self._loader.device

    @property
    def default(self) -> str | None:
        """The model that answers when none is named: the one that was set, or the only one."""
        if self._default is not None:
            return self._default
        serving = self.serving
        return next(iter(serving)) if len(serving) == 1 else None

    def policy(self, model: AvailableModel) -> DecisionPolicy | None:
        """What decides on a model's answers, if anything does, whether it is loaded or not."""
        try:
            return self._loader.policy(model)
        except PolicyMismatch:  # its first request will reject it
            return None

    def find(self, name: str | None, version: int | None) -> AvailableModel:
        """The model for a request, perhaps not loaded yet.

        Raises:
            UnknownModel: none of that name answers, or none is named and there is no default.
            UnknownVersion: that version does not answer.
        """
        if name is None:
            name = self.default
            if name is None:
                raise UnknownModel(f"name the model: there is no default; there are: {self.names()}", "model")
        found = self.models.get(name)
        if found is None or found.default is None:
            raise UnknownModel(f"no model {name!r} is served; there are: {self.names()}", "model")
        if version is None:
            return found.default
        for model in found.available:
            if version == model.version:
                return model
        there = ", ".join(str(model.version) for model in found.available)
        raise UnknownVersion(f"version {version} of {name!r} is not served; there are: {there}", "version")

    async def obtain(self, name: str | None, version: int | None, seconds: float) -> tuple[Servable, float]:
        """The model for a request, loaded once for all who wait, beside the event loop; and the seconds that are left.

        One that cannot be loaded is rejected, and what answers in its stead is taken.

        Args:
            seconds: for how long to wait while it is loaded.

        Raises:
            UnknownModel, UnknownVersion: as find.
            DeadlineExceeded: it is still to be loaded.
        """
        model = self.find(name, version)
        if not isinstance(model, VerifiedModel):
            return model, seconds
        clock = asyncio.get_running_loop().time
        deadline = clock() + seconds
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                while isinstance(model, VerifiedModel):
                    await self._flights.wait(model.name, partial(self._load, model))
                    model = self.find(name, version)
            if (left := deadline - clock()) > 0:  # a busy loop may come here late, with no timeout raised
                return model, left
        raise DeadlineExceeded(f"{model.name}:{model.version} was not loaded within {1000 * seconds:.0f} ms")

    def names(self) -> str:
        """The models that answer, for a message."""
        return ", ".join(self.serving) or "none"

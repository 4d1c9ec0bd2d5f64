"""Which version of each model answers. Reading never waits: the reconciler replaces the snapshot as a whole."""

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
from app.errors import DeadlineExceeded, UnknownModel, UnknownVersion
from app.failures import PolicyMismatch


class ModelRegistry:
    """Read by every request, in the event loop; written only by the reconciler, from its threads.

    Args:
        loader: knows the device and the operator's policies.
        load: loads a version for its first request and replaces the snapshot; it may take long.
        default: the model that answers when a request names none.
    """

    def __init__(self, loader: Loader, load: Callable[[VerifiedModel], None], default: str | None = None) -> None:
        self._loader = loader
        self._load = load
        self._default = default
        self._flights = SingleFlight()
        self.models: Mapping[str, ModelVersions] = MappingProxyType({})
        """All models of the repository, sorted by name, including those without a version that answers."""
        self.serving: Mapping[str, AvailableModel] = MappingProxyType({})
        """The default version of each model that answers, by name."""
        self.unreadable: Mapping[str, str] = MappingProxyType({})
        """The models whose folder cannot be read, and why."""

    def replace(self, name: str, versions: ModelVersions | None) -> None:
        """Publishes the versions of a model, or removes it. For one thread at a time.

        The mappings are replaced, not changed: a request may be iterating over the old ones.
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
        """The model that answers when a request names none: the configured one, or the only one."""
        if self._default is not None:
            return self._default
        serving = self.serving  # once: it may be replaced between two reads
        return next(iter(serving)) if len(serving) == 1 else None

    def policies(self, model: AvailableModel) -> dict[str, DecisionPolicy]:
        """The policies for a model's answers, by the head that they are about; the model need not be loaded."""
        try:
            return self._loader.policies(model)
        except PolicyMismatch:  # its first request will reject it
            return {}

    def find(self, name: str | None, version: int | None) -> AvailableModel:
        """The model for a request, perhaps not loaded yet.

        Raises:
            UnknownModel: no model of that name answers, or the request names none and there is no default.
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
        """The model for a request, loaded in a thread once for all that wait for it; and the seconds that are left.

        A model that cannot be loaded is rejected; the one that answers instead is returned.

        Args:
            seconds: how long to wait for loading.

        Raises:
            UnknownModel, UnknownVersion: see find.
            DeadlineExceeded: the model was not loaded in time.
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
                    model = self.find(name, version)  # again: it was loaded, replaced, or rejected for a lower one
            if (left := deadline - clock()) > 0:  # a busy loop may get here late without a TimeoutError
                return model, left
        raise DeadlineExceeded(f"{model.name}:{model.version} was not loaded within {1000 * seconds:.0f} ms")

    def names(self) -> str:
        """The models that answer, for a message."""
        return ", ".join(self.serving) or "none"

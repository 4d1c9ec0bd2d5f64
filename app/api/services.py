"""What every route works with, typed: the parts of the running service."""

from dataclasses import dataclass

from fastapi import Request

from app.engine.batcher import Batcher
from app.engine.reconciler import Reconciler
from app.engine.registry import ModelRegistry
from app.settings import Settings
from app.telemetry.metrics import Telemetry


@dataclass
class Services:
    """The parts of one service. `stopping` is set once, by the signal that ends it."""

    settings: Settings
    reconciler: Reconciler
    batcher: Batcher
    telemetry: Telemetry
    stopping: bool = False

    @property
    def registry(self) -> ModelRegistry:
        """The models that answer."""
        return self.reconciler.registry


def services(request: Request) -> Services:
    """Those of the application that a request came to."""
    found: Services = request.app.state.services
    return found

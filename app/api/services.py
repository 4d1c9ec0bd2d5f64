"""The parts of the running service that every route works with, typed."""

from dataclasses import dataclass

from fastapi import Request

from app.api.memory import MemoryBudget
from app.engine.batcher import Batcher
from app.engine.reconciler import Reconciler
from app.engine.registry import ModelRegistry
from app.feedback.receipt import Receipts
from app.settings import Settings
from app.telemetry.metrics import Telemetry
from app.telemetry.tracing import Tracing
from app.workers.board import Board


@dataclass
class Services:
    """The parts of one service. The signal that ends it sets `stopping`, once."""

    settings: Settings
    reconciler: Reconciler
    batcher: Batcher
    telemetry: Telemetry
    memory: MemoryBudget
    tracing: Tracing
    receipts: Receipts | None = None
    """None where no secret signs any."""
    board: Board | None = None
    """None where one process serves alone."""
    stopping: bool = False

    @property
    def registry(self) -> ModelRegistry:
        """The registry of models."""
        return self.reconciler.registry


def services(request: Request) -> Services:
    """The services of the application that received a request."""
    found: Services = request.app.state.services
    return found

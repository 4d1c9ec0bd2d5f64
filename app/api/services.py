"""The parts of the running service that every route works with, typed."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

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

if TYPE_CHECKING:
    from app.feedback.archive import Archive


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
    archive: "Archive | None" = None
    """None where no database remembers them."""
    board: Board | None = None
    """None where one process serves alone."""
    stopping: bool = False

    @property
    def remembered_by(self) -> Literal["process", "database"]:
        """Who remembers which receipts were counted."""
        return "process" if self.archive is None else "database"

    @property
    def registry(self) -> ModelRegistry:
        """The registry of models."""
        return self.reconciler.registry


def services(request: Request) -> Services:
    """The services of the application that received a request."""
    found: Services = request.app.state.services
    return found

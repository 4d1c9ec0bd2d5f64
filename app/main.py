"""Wires the service together."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI

from app import __version__
from app.api import docs, error_handlers, health, metrics, models, openapi, page
from app.api.feedback import endpoint as feedback
from app.api.feedback.heads import awaited
from app.api.memory import MemoryBudget, budget_size
from app.api.middleware import Gateway
from app.api.predict import endpoint as predict
from app.api.services import Services
from app.api.v2 import endpoint as v2
from app.api.v2 import repository
from app.auth.guard import Guard
from app.engine.batcher import Batcher
from app.engine.cpu_count import cpu_count
from app.engine.model_versions import ModelVersions
from app.engine.queue import Queue
from app.engine.reconciler import Reconciler
from app.engine.watchdog import Patience, Watchdog
from app.feedback.receipt import Receipts
from app.feedback.signer import Signer
from app.settings import Settings
from app.telemetry.metrics import Telemetry
from app.telemetry.tracing import Tracing
from app.telemetry.versions import States
from app.workers.board import Board

if TYPE_CHECKING:
    from app.feedback.archive import Archive


def routes(lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]] | None = None) -> FastAPI:
    """The application with every route but no services behind them: enough for the OpenAPI document."""
    app = FastAPI(
        title=openapi.TITLE,
        version=__version__,
        description=openapi.DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,  # FastAPI's page loads Swagger UI from a CDN; app.api.docs has its own
        redoc_url=None,
        telemetry={"auto_configure": False, "tracing": False, "metrics": False, "logs": False},  # FastAPI's own
        redirect_slashes=False,  # a path with a slash too many is a 404 with our error body
    )
    for part in (predict, feedback, models, health, metrics, repository, v2, docs):
        app.include_router(part.router)
    error_handlers.install(app)
    openapi.install(app)
    return app


def create_app(
    settings: Settings,
    reconciler: Reconciler,
    telemetry: Telemetry,
    guard: Guard | None = None,
    tracing: Tracing | None = None,
    archive: "Archive | None" = None,
    board: Board | None = None,
) -> Gateway:
    """The ASGI application that serves an opened model repository and follows it while it runs.

    Args:
        guard: decides who is let in; made from the settings by default.
        tracing: records spans; by default nothing does.
        archive: the database of feedback, where there is one.
        board: says which of several workers are ready.
    """
    device = reconciler.registry.device
    most_rows = -(-settings.max_queue_rows // settings.workers)  # rounded up: each must take some
    queue = Queue(most_rows, settings.max_batch, settings.max_delay_ms / 1000, device.enough_rows)
    patience = Patience(settings.stuck_factor, settings.stuck_seconds, settings.stuck_grace_seconds)
    batcher = Batcher(queue, device.count, telemetry, Watchdog(device.count, telemetry, patience))
    telemetry.describe(device.facts(), device.count, device.fell_back)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # bodies read in threads take memory: a few at a time, however many requests come
        aside = max(2, cpu_count(sharing=settings.workers))
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(aside, "aside"))
        batcher.start()
        if archive is not None:
            archive.start()
        if settings.poll_seconds:
            reconciler.watch(settings.poll_seconds)
        yield
        await asyncio.to_thread(reconciler.close)  # first, so that no new model comes; joins a thread
        await batcher.close()
        if archive is not None:
            await asyncio.to_thread(archive.close)
        await asyncio.to_thread(services.tracing.close)  # last: the spans of the last requests are there now

    memory = MemoryBudget(budget_size(settings.memory_budget_mb) // settings.workers, telemetry.memory_refused)
    receipts, tracing = _receipts(settings, archive), tracing or Tracing()
    services = Services(settings, reconciler, batcher, telemetry, memory, tracing, receipts, archive, board)
    app = routes(lifespan)
    if settings.page:
        page.install(app)
    app.state.services = services
    telemetry.watch(
        queue_rows=lambda: queue.rows,
        queue_limit=queue.most_rows,
        memory_held=lambda: memory.held,
        memory_budget=memory.size,
        ready=lambda: health.why_not_ready(services) is None,
        versions=lambda: {name: _states(found) for name, found in reconciler.registry.models.items()},
        awaited=lambda: awaited(services),
    )
    endpoints = {
        predict.PATH: predict.predict,
        v2.PATH: v2.infer,
        v2.VERSION_PATH: v2.infer,
    }
    return Gateway(app, endpoints, guard or Guard(settings.keys, settings.keys_file, settings.rate_limit), services)


def _receipts(settings: Settings, archive: "Archive | None") -> Receipts | None:
    return Receipts(Signer(secrets), archive) if (secrets := settings.feedback_secrets) else None


def _states(model: ModelVersions) -> States:
    answering = None if model.default is None else model.default.version
    return States(answering, tuple(version.state for version in model.versions))

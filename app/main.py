"""Wires the service together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from app.api import catalog, document, health, metrics, predict, problems
from app.api.entry import Entry
from app.engine.batcher import Batcher
from app.engine.queue import Queue
from app.engine.store import Store
from app.settings import Settings
from app.telemetry import Telemetry


def create_app(settings: Settings, store: Store, telemetry: Telemetry) -> Entry:
    """The ASGI application that serves an opened store, and follows it from start to end."""
    device = store.device
    queue = Queue(settings.max_queue, settings.max_batch, settings.max_delay_ms / 1000, device.enough_rows)
    batcher = Batcher(queue, device.count, telemetry)
    telemetry.describe(device.facts(), device.count, device.fell_back)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        batcher.start()
        if settings.poll_seconds:
            store.watch(settings.poll_seconds)
        yield
        await asyncio.to_thread(store.close)
        await batcher.close()

    app = FastAPI(
        title=document.TITLE,
        version=document.VERSION,
        description=document.DESCRIPTION,
        lifespan=lifespan,
        redoc_url=None,
    )
    app.state.settings = settings
    app.state.store = store
    app.state.batcher = batcher
    app.state.telemetry = telemetry
    app.state.stopping = False
    telemetry.watch(
        queue_rows=lambda: queue.rows,
        queue_limit=queue.most_rows,
        ready=lambda: health.why_not_ready(store, batcher, stopping=app.state.stopping) is None,
    )
    for router in (predict.router, catalog.router, health.router, metrics.router):
        app.include_router(router)
    problems.install(app)
    document.install(app)
    return Entry(app, predict.PATH, predict.predict, settings.access_log)

"""Wires the service together."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI

from app.api import catalog, document, health, metrics, predict, problems
from app.api.entry import Entry
from app.api.security import Guard
from app.api.v2 import inference, repository
from app.engine.batcher import Batcher
from app.engine.cores import usable_cores
from app.engine.queue import Queue
from app.engine.store import Store
from app.settings import Settings
from app.telemetry import Telemetry


def routes(lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]] | None = None) -> FastAPI:
    """Every route, still without anything behind it: enough for the OpenAPI document."""
    app = FastAPI(
        title=document.TITLE,
        version=document.VERSION,
        description=document.DESCRIPTION,
        lifespan=lifespan,
        redoc_url=None,
        redirect_slashes=False,
    )
    for router in (predict.router, catalog.router, health.router, metrics.router, repository.router, inference.router):
        app.include_router(router)
    problems.install(app)
    document.install(app)
    return app


def create_app(settings: Settings, store: Store, telemetry: Telemetry, guard: Guard | None = None) -> Entry:
    """The ASGI application that serves an opened store, and follows it from start to end.

    Args:
        guard: who is let in; by default whom the settings say.
    """
    device = store.device
    queue = Queue(settings.max_queue, settings.max_batch, settings.max_delay_ms / 1000, device.enough_rows)
    batcher = Batcher(queue, device.count, telemetry)
    telemetry.describe(device.facts(), device.count, device.fell_back)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # what is read beside the loop takes memory: a few at a time, however many ask
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(max(2, usable_cores()), "aside"))
        batcher.start()
        if settings.poll_seconds:
            store.watch(settings.poll_seconds)
        yield
        await asyncio.to_thread(store.close)
        await batcher.close()

    app = routes(lifespan)
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
    endpoints = {
        predict.PATH: predict.predict,
        inference.PATH: inference.infer,
        inference.VERSION_PATH: inference.infer,
    }
    return Entry(app, endpoints, guard or Guard(settings.keys, settings.keys_file, settings.rate), settings)

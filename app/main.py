"""Wires the service together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from app.api import catalog, document, health, predict, problems
from app.api.request_id import RequestId
from app.engine.store import Store
from app.settings import Settings


def create_app(settings: Settings, store: Store) -> FastAPI:
    """The ASGI application that serves an opened store, and closes it when it ends."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        store.close()

    app = FastAPI(
        title=document.TITLE,
        version=document.VERSION,
        description=document.DESCRIPTION,
        lifespan=lifespan,
        redoc_url=None,
    )
    app.state.settings = settings
    app.state.store = store
    for router in (predict.router, catalog.router, health.router):
        app.include_router(router)
    problems.install(app)
    app.add_middleware(RequestId)  # last, so outermost: errors carry the id
    document.install(app)
    return app

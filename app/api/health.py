"""Liveness and readiness, for orchestrators and for people who ask which device was chosen."""

from fastapi import APIRouter, Request

from app.api.document import errors
from app.api.schemas import Alive, Readiness
from app.engine.store import Store
from app.errors import NotReady

router = APIRouter(prefix="/health", tags=["health"])


@router.get("/live", operation_id="live", summary="Is the process alive?")
async def live() -> Alive:
    """200 as long as the process answers at all."""
    return Alive()


@router.get("/ready", operation_id="ready", summary="Can predictions be made?", responses=errors(503))
async def ready(request: Request) -> Readiness:
    """200 when at least one model is loaded and has run once on the chosen device."""
    store: Store = request.app.state.store
    if not store.serving:
        raise NotReady("no model of the store is fit to be served; GET /models says why")
    return Readiness(
        device=store.device.name,
        device_asked=store.device.asked,
        device_reason=store.device.reason,
        models={name: model.version for name, model in store.serving.items()},
    )

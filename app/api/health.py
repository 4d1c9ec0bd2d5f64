"""Liveness and readiness, for orchestrators and for people who ask which device was chosen."""

from fastapi import APIRouter, Request

from app.api.error_responses import errors
from app.api.schemas.health import Alive, Readiness
from app.engine.batcher import Batcher
from app.engine.registry import ModelRegistry
from app.errors import NotReady

router = APIRouter(prefix="/health", tags=["health"])


@router.get("/live", operation_id="live", summary="Is the process alive?")
async def live() -> Alive:
    """200 as long as the process answers at all."""
    return Alive()


@router.get("/ready", operation_id="ready", summary="Can predictions be made?", responses=errors(NotReady))
async def ready(request: Request) -> Readiness:
    """200 when at least one model answers, which has run on the chosen device, or will with its first request; 503
    from SIGTERM on."""
    state = request.app.state
    registry: ModelRegistry = state.registry
    reason = why_not_ready(registry, state.batcher, stopping=state.stopping)
    if reason is not None:
        raise NotReady(reason)
    return Readiness(
        device=registry.device.name,
        device_asked=registry.device.asked,
        device_reason=registry.device.reason,
        models={name: model.version for name, model in registry.serving.items()},
    )


def why_not_ready(registry: ModelRegistry, batcher: Batcher, *, stopping: bool) -> str | None:
    """What keeps predictions from being made, or new clients from being sent here; None when nothing does."""
    if stopping:
        return "the service is stopping: what it accepted is finished"
    if batcher.failed is not None:
        return batcher.failed
    if not registry.serving:
        return "no model is loaded; GET /models says why"
    return None

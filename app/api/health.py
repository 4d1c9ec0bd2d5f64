"""Liveness and readiness, for orchestrators and for people who want to know which device was chosen."""

from fastapi import APIRouter, Request

from app.api.error_responses import errors
from app.api.schemas.health import Alive, Readiness
from app.api.services import Services, services
from app.engine.batcher import STOPPING
from app.errors import DeviceFailed, DeviceStuck, NotReady

router = APIRouter(prefix="/health", tags=["health"])


@router.get("/live", operation_id="live", summary="Is the process alive?", responses=errors(DeviceFailed, DeviceStuck))
async def live(request: Request) -> Alive:
    """200 as long as the process answers and a device works; 503 when it should be restarted, because no device has
    worked for `MASKSEMBLES_STUCK_GRACE_SECONDS`."""
    if (error := services(request).batcher.watchdog.hopeless()) is not None:
        raise error
    return Alive()


@router.get("/ready", operation_id="ready", summary="Can predictions be made?", responses=errors(NotReady))
async def ready(request: Request) -> Readiness:
    """200 when at least one model answers, which has run on the chosen device, or will with its first request; 503
    while no device works, and from SIGTERM on. Of several workers, all have to be ready."""
    of = services(request)
    if (reason := why_not_ready(of)) is not None:
        raise NotReady(reason)
    registry = of.registry
    return Readiness(
        device=registry.device.name,
        device_setting=registry.device.setting,
        device_reason=registry.device.reason,
        models={name: model.version for name, model in registry.serving.items()},
    )


def why_not_ready(of: Services) -> str | None:
    """Why no predictions can be made, or why no new clients should be sent here; None if all is well."""
    if (reason := why_not_alone(of)) is not None:
        return reason
    return None if of.board is None else of.board.missing()


def why_not_alone(of: Services) -> str | None:
    """The same of this process, whatever the other workers of the service do."""
    if of.stopping:
        return STOPPING
    if (error := of.batcher.watchdog.no_device()) is not None:
        return error.message
    if not of.registry.serving:
        return "no model is loaded; GET /models says why"
    return None

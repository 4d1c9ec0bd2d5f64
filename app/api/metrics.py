"""GET /metrics: the service's metrics in Prometheus's text format."""

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from app.api.services import services

_EXAMPLE = """\
# HELP masksembles_queue_rows Rows that wait for a device
# TYPE masksembles_queue_rows gauge
masksembles_queue_rows 0.0
"""
_TEXT = {"text/plain": {"schema": {"type": "string"}, "example": _EXAMPLE}}

router = APIRouter(tags=["metrics"])


@router.get(
    "/metrics",
    operation_id="metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={200: {"description": "Prometheus's text format", "content": _TEXT}},
)
def metrics(request: Request) -> Response:  # not async: rendering would hold up the event loop
    """Requests, decisions, queue, batches, seconds, devices, reloads, and how the rows' uncertainty is distributed."""
    return Response(services(request).telemetry.render(), media_type=CONTENT_TYPE_PLAIN_0_0_4)

"""GET /metrics: what the service says about itself, in Prometheus's text format."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

router = APIRouter(tags=["metrics"])


@router.get("/metrics", operation_id="metrics", summary="Metrics for Prometheus", response_class=PlainTextResponse)
def metrics(request: Request) -> Response:
    """Requests, queue, batches, seconds, devices, reloads, and how the served rows' uncertainty is distributed."""
    return Response(request.app.state.telemetry.render(), media_type=CONTENT_TYPE_PLAIN_0_0_4)

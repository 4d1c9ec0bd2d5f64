"""POST /feedback takes receipts with their truths; GET /models/{name}/quality tells what they say."""

from fastapi import APIRouter, Depends, Request

from app.api import request_headers
from app.api.body import LARGE, read_body
from app.api.error_responses import errors
from app.api.feedback import openapi, quality
from app.api.feedback import request as requests
from app.api.feedback.heads import head_of
from app.api.feedback.schemas import FeedbackCounted, ModelQuality
from app.api.inference import run
from app.api.memory import held
from app.api.models import Name, find
from app.api.query import no_query
from app.api.services import services
from app.errors import (
    BodyTooLarge,
    FeedbackDisabled,
    FeedbackUnavailable,
    InvalidInput,
    MalformedBody,
    MemoryFull,
    RequestTimeout,
    UnknownModel,
    UnsupportedMediaType,
)

router = APIRouter(tags=["feedback"], dependencies=[Depends(no_query)])


@router.post(
    "/feedback",
    operation_id="send_feedback",
    summary="Tell what turned out to be true",
    responses=errors(
        FeedbackDisabled,
        InvalidInput,
        MalformedBody,
        UnsupportedMediaType,
        BodyTooLarge,
        RequestTimeout,
        MemoryFull,
        FeedbackUnavailable,
    ),
    # every request may have an id; without an optional parameter, openapi-python-client 0.29 forgets an import (#1451)
    openapi_extra={"parameters": [request_headers.REQUEST_ID], "requestBody": openapi.REQUEST_BODY},
)
async def send_feedback(request: Request) -> FeedbackCounted:
    """Counts each receipt once. One that is not valid fails the whole request: then none of it is counted."""
    of = services(request)
    receipts, days = of.receipts, of.settings.feedback_days
    if receipts is None:
        raise FeedbackDisabled("there is no feedback without MASKSEMBLES_FEEDBACK_SECRET")
    headers = dict(request.scope["headers"])
    body = await read_body(request.receive, headers, of.settings.max_body_bytes, held(request))
    kind = headers.get(b"content-type", b"").decode("latin-1")
    heavy = len(body) > LARGE
    given = await run(heavy, requests.read, body, kind, of.settings.max_rows)
    ledger = of.telemetry.feedback
    claims = await run(heavy, ledger.check, receipts, days, given, lambda receipt: head_of(of, receipt))
    if of.archive is None:
        counted = ledger.count(claims, days)  # in the event loop, all at once: no other request comes between
    else:
        counted = await of.archive.add(claims, ledger.add)
    return FeedbackCounted(counted=counted, repeated=len(claims) - counted, remembered_by=of.remembered_by)


@router.get(
    "/models/{name}/quality",
    operation_id="get_quality",
    summary="What truths and drift say about a model",
    response_model_exclude_none=True,
    responses=errors(UnknownModel, InvalidInput),
)
def get_quality(request: Request, name: Name) -> ModelQuality:  # not async: evidence is summed up
    """Hits, losses and reliability with confidence intervals, whether each promise is kept, and whether inputs have
    drifted."""
    of = services(request)
    find(of.registry, name)
    found = quality.versions(of.telemetry.feedback, of.telemetry.drift_reports(name), name)
    return ModelQuality(name=name, remembered_by=of.remembered_by, versions=found)

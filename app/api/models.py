"""/models: what the repository holds, which versions answer, what each file declares; load and unload."""

import socket
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BeforeValidator

from app.api.error_responses import errors
from app.api.query import no_query
from app.api.schemas.models import (
    Catalog,
    HeadSummary,
    InputSummary,
    ModelSummary,
    PolicyInForce,
    VersionDetail,
    VersionSummary,
)
from app.api.services import Services, services
from app.contract import images
from app.contract.decisions import DecisionPolicy
from app.contract.head import Head
from app.contract.repository import HIGHEST_VERSION, NAME_PATTERN, parse_version
from app.engine.model_versions import ModelVersions, VersionStatus
from app.engine.reconciler import Reconciler
from app.engine.registry import ModelRegistry
from app.errors import AdminDisabled, InvalidInput, UnknownModel, UnknownVersion, VersionRejected

router = APIRouter(prefix="/models", tags=["models"], dependencies=[Depends(no_query)])

Name = Annotated[
    str,
    Path(
        description="Name of a model in the repository",
        pattern=f"^{NAME_PATTERN}$",
        openapi_examples={"shipped": {"value": "fashion-mnist"}},
    ),
]
Number = Annotated[
    int,
    Path(ge=1, le=HIGHEST_VERSION, description="Version of the model", openapi_examples={"shipped": {"value": 4}}),
    BeforeValidator(parse_version),
]


@router.get(
    "",
    operation_id="list_models",
    summary="All models",
    response_model_exclude_none=True,
    responses=errors(InvalidInput),
)
async def list_models(request: Request) -> Catalog:
    """Every model in the repository, those too of which no version is available."""
    registry = services(request).registry
    _, port = request.scope["server"]  # of the socket: MASKSEMBLES_PORT may be 0
    return Catalog(
        replica=f"{socket.gethostname()}:{port}",
        default=registry.default,
        models=[_summary(registry, name, found) for name, found in sorted(registry.models.items())],
    )


@router.get(
    "/{name}",
    operation_id="get_model",
    summary="One model",
    response_model_exclude_none=True,
    responses=errors(UnknownModel, InvalidInput),
)
async def get_model(request: Request, name: Name) -> ModelSummary:
    """Its inputs, its heads with their labels and policies, its versions and which of them answers."""
    registry = services(request).registry
    return _summary(registry, name, find(registry, name))


@router.get(
    "/{name}/versions/{version}",
    operation_id="get_version",
    summary="One version with its contract",
    response_model_exclude_none=True,
    responses=errors(UnknownModel, UnknownVersion, InvalidInput),
)
async def get_version(request: Request, name: Name, version: Number) -> VersionDetail:
    """Inputs and outputs with units, masks, calibration, evaluation, and where the file came from."""
    versions = find(services(request).registry, name).versions
    for status in versions:
        if status.number == version:
            return VersionDetail(name=name, contract=status.contract, **_became(status))
    there = ", ".join(str(status.number) for status in versions)
    raise UnknownVersion(f"no version {version} of {name!r}; there are: {there}", "version")


@router.post(
    "/{name}/load",
    operation_id="load_model",
    summary="Look for new versions of a model now",
    response_model_exclude_none=True,
    responses=errors(UnknownModel, VersionRejected, InvalidInput, AdminDisabled),
)
async def load_model(request: Request, name: Name) -> ModelSummary:
    """Answers once the version that is to answer does; takes back an unload. Off unless MASKSEMBLES_ENABLE_ADMIN."""
    reconciler = administered(request)
    return _summary(reconciler.registry, name, await run_in_threadpool(reconciler.load, name))


@router.post(
    "/{name}/unload",
    operation_id="unload_model",
    summary="Take a model out of service",
    response_model_exclude_none=True,
    responses=errors(UnknownModel, InvalidInput, AdminDisabled),
)
async def unload_model(request: Request, name: Name) -> ModelSummary:
    """What it is at work on is finished; it stays unloaded until it is loaded. Off unless MASKSEMBLES_ENABLE_ADMIN."""
    reconciler = administered(request)
    return _summary(reconciler.registry, name, await run_in_threadpool(reconciler.unload, name))


def administered(request: Request) -> Reconciler:
    """The reconciler, if requests may load and unload models.

    Raises:
        AdminDisabled: they may not, or the browser says that a page of another site sent the request.
    """
    reconciler = administered_by(services(request))
    # browsers set it and pages cannot; other clients send none
    if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        raise AdminDisabled("models are not loaded and unloaded by pages of other sites")
    return reconciler


def administered_by(of: Services) -> Reconciler:
    """The same for a client that is no browser.

    Raises:
        AdminDisabled: requests may not load and unload models.
    """
    if not of.settings.enable_admin:
        raise AdminDisabled("models are loaded and unloaded on request only with MASKSEMBLES_ENABLE_ADMIN=true")
    return of.reconciler


def find(registry: ModelRegistry, name: str) -> ModelVersions:
    found = registry.models.get(name)
    if found is None:
        raise UnknownModel(f"no model {name!r}; there are: {', '.join(sorted(registry.models)) or 'none'}", "name")
    return found


def _became(status: VersionStatus) -> dict[str, Any]:
    return {"version": status.number, "state": status.state, "loaded": status.loaded, "reason": status.reason}


def _summary(registry: ModelRegistry, name: str, found: ModelVersions) -> ModelSummary:
    versions = [VersionSummary(**_became(status)) for status in found.versions]
    model = found.default
    if model is None:
        return ModelSummary(name=name, reason=registry.unreadable.get(name), versions=versions)
    if model.contract is None:
        return ModelSummary(name=name, version=model.version, versions=versions)
    contract, policies = model.contract, registry.policies(model)
    return ModelSummary(
        name=name,
        version=model.version,
        method=contract.method,
        num_submodels=contract.num_submodels,
        inputs=[
            InputSummary(
                name=given.name,
                dtype=given.dtype,
                shape=list(given.shape),
                unit=given.unit,
                range=given.range,
                channel_ranges=given.channel_ranges,
                image=images.takes_images(given) or None,
            )
            for given in contract.inputs
        ],
        axes=dict(contract.axes) or None,
        heads=[_head(head, policies.get(head.name)) for head in contract.heads],
        versions=versions,
    )


def _head(head: Head, policy: DecisionPolicy | None) -> HeadSummary:
    return HeadSummary(
        name=head.name or None,
        task=head.task,
        grid=list(head.grid) or None,
        labels=list(head.labels) or None,
        targets=list(head.targets) or None,
        warnings=list(head.warnings) or None,
        policy=policy and PolicyInForce(source=policy.source, rules=list(policy.policy.rules)),
    )

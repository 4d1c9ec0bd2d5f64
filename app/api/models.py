"""/models: what the store holds, what of it answers, what each file declares about itself; load and unload."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BeforeValidator

from app.api.error_responses import errors
from app.api.schemas import Catalog, ModelSummary, PolicyInForce, VersionDetail, VersionSummary
from app.contract.repository import HIGHEST_VERSION, NAME_PATTERN, parse_version
from app.engine.model_versions import ModelVersions, VersionStatus
from app.engine.reconciler import Reconciler
from app.engine.registry import ModelRegistry
from app.errors import AdminDisabled, InvalidInput, UnknownModel, UnknownVersion, VersionRejected
from app.settings import Settings

router = APIRouter(prefix="/models", tags=["models"])

Name = Annotated[
    str, Path(description="Name of a model in the store", pattern=f"^{NAME_PATTERN}$", examples=["fashion-mnist"])
]
Number = Annotated[
    int,
    Path(ge=1, le=HIGHEST_VERSION, description="VersionStatus of the model", examples=[2]),
    BeforeValidator(parse_version),
]


@router.get(
    "",
    operation_id="list_models",
    summary="All models",
    response_model_exclude_none=True,
)
async def list_models(request: Request) -> Catalog:
    """Every model in the store, those too of which no version is fit to be served."""
    store: ModelRegistry = request.app.state.registry
    return Catalog(
        default=store.default, models=[_summary(store, name, shelf) for name, shelf in sorted(store.models.items())]
    )


@router.get(
    "/{name}",
    operation_id="get_model",
    summary="One model",
    response_model_exclude_none=True,
    responses=errors(UnknownModel, InvalidInput),
)
async def get_model(request: Request, name: Name) -> ModelSummary:
    """Its input, its labels, its policy, its versions and which of them answers."""
    store: ModelRegistry = request.app.state.registry
    return _summary(store, name, _shelf(store, name))


@router.get(
    "/{name}/versions/{version}",
    operation_id="get_version",
    summary="One version with its contract",
    response_model_exclude_none=True,
    responses=errors(UnknownModel, UnknownVersion, InvalidInput),
)
async def get_version(request: Request, name: Name, version: Number) -> VersionDetail:
    """Inputs and outputs with units, masks, calibration, evaluation, and where the file came from."""
    versions = _shelf(request.app.state.registry, name).versions
    for found in versions:
        if found.number == version:
            return VersionDetail(name=name, contract=found.contract, **_became(found))
    there = ", ".join(str(found.number) for found in versions)
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
    """What loads and unloads, where models may be loaded and unloaded on request.

    Raises:
        AdminDisabled: they may not, or a browser says that a page of another site asks.
    """
    settings: Settings = request.app.state.settings
    if not settings.enable_admin:
        raise AdminDisabled("models are loaded and unloaded on request only with MASKSEMBLES_ENABLE_ADMIN=true")
    if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        raise AdminDisabled("models are not loaded and unloaded by pages of other sites")
    reconciler: Reconciler = request.app.state.reconciler
    return reconciler


def _shelf(store: ModelRegistry, name: str) -> ModelVersions:
    shelf = store.models.get(name)
    if shelf is None:
        raise UnknownModel(f"no model {name!r}; there are: {', '.join(sorted(store.models)) or 'none'}", "name")
    return shelf


def _became(found: VersionStatus) -> dict[str, Any]:
    return {"version": found.number, "state": found.state, "loaded": found.loaded, "reason": found.reason}


def _summary(store: ModelRegistry, name: str, shelf: ModelVersions) -> ModelSummary:
    versions = [VersionSummary(**_became(found)) for found in shelf.versions]
    model = shelf.default
    if model is None:
        return ModelSummary(name=name, reason=store.unreadable.get(name), versions=versions)
    if model.contract is None:
        return ModelSummary(name=name, version=model.version, versions=versions)
    given = model.contract.inputs[0]
    judge = store.policy(model)
    return ModelSummary(
        name=name,
        version=model.version,
        task=model.contract.task,
        method=model.contract.method,
        num_submodels=model.contract.num_submodels,
        input_shape=list(given.shape),
        input_range=given.range,
        labels=list(model.contract.labels) or None,
        targets=list(model.contract.targets) or None,
        policy=judge and PolicyInForce(source=judge.source, rules=list(judge.policy.rules)),
        versions=versions,
    )

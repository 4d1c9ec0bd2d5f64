"""GET /models: what the store holds, what of it answers, and what each file declares about itself."""

from typing import Annotated

from fastapi import APIRouter, Path, Request
from pydantic import BeforeValidator

from app.api.document import errors
from app.api.schemas import Catalog, ModelSummary, VersionDetail, VersionSummary
from app.contract import naming
from app.engine.store import Store, Version
from app.errors import UnknownModel, UnknownVersion

router = APIRouter(prefix="/models", tags=["models"])

Name = Annotated[str, Path(description="Name of a model in the store")]
Number = Annotated[
    int, Path(ge=1, le=999_999_999, description="Version of the model"), BeforeValidator(naming.parse_version)
]


@router.get("", operation_id="list_models", summary="All models", response_model_exclude_none=True)
async def list_models(request: Request) -> Catalog:
    """Every model in the store, those too of which no version is fit to be served."""
    store: Store = request.app.state.store
    return Catalog(default=store.default, models=[_summary(store, name) for name in store.versions])


@router.get(
    "/{name}",
    operation_id="get_model",
    summary="One model",
    response_model_exclude_none=True,
    responses=errors(404, 422),
)
async def get_model(request: Request, name: Name) -> ModelSummary:
    """Its input, its labels, its versions and which of them answers."""
    return _summary(request.app.state.store, name)


@router.get(
    "/{name}/versions/{version}",
    operation_id="get_version",
    summary="One version with its contract",
    response_model_exclude_none=True,
    responses=errors(404, 422),
)
async def get_version(request: Request, name: Name, version: Number) -> VersionDetail:
    """Inputs and outputs with units, masks, calibration, evaluation, and where the file came from."""
    versions = _versions(request.app.state.store, name)
    for found in versions:
        if found.number == version:
            return VersionDetail(
                name=name, version=version, state=found.state, reason=found.reason, contract=found.contract
            )
    there = ", ".join(str(found.number) for found in versions)
    raise UnknownVersion(f"no version {version} of {name!r}; there are: {there}", "version")


def _versions(store: Store, name: str) -> list[Version]:
    if name not in store.versions:
        raise UnknownModel(f"no model {name!r}; there are: {', '.join(store.versions) or 'none'}", "name")
    return store.versions[name]


def _summary(store: Store, name: str) -> ModelSummary:
    versions = [
        VersionSummary(version=found.number, state=found.state, reason=found.reason) for found in _versions(store, name)
    ]
    model = store.serving.get(name)
    if model is None:
        return ModelSummary(name=name, reason=store.unreadable.get(name), versions=versions)
    given = model.contract.inputs[0]
    return ModelSummary(
        name=name,
        version=model.version,
        task=model.contract.task,
        method=model.contract.method,
        num_submodels=model.contract.num_submodels,
        input_shape=list(given.shape),
        input_range=given.range,
        labels=list(model.contract.labels),
        versions=versions,
    )

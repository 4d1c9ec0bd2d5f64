"""Finds the model that a path of /v2 names."""

from fastapi import Request

from app.api.inference import RequestedModel
from app.api.services import services
from app.contract.repository import check_name, parse_version
from app.engine.model_versions import AvailableModel
from app.errors import InvalidInput


def find(request: Request) -> AvailableModel:
    """The model and version that the path names, or the default version; perhaps not loaded yet.

    Raises:
        InvalidInput: the name or version in the path is invalid.
        UnknownModel, UnknownVersion: the model or version does not exist or does not answer.
    """
    return services(request).registry.find(*target(request))


def target(request: Request) -> RequestedModel:
    """Name and version in the path, not looked up yet.

    Raises:
        InvalidInput: one of them is invalid.
    """
    return RequestedModel(name(request), _version(request))


def name(request: Request) -> str:
    """The name in the path.

    Raises:
        InvalidInput: it is not a model name.
    """
    # by hand, since the gateway's shortcut skips FastAPI's checks
    try:
        return check_name(request.path_params["name"])
    except ValueError as error:
        raise InvalidInput(str(error), "name") from None


def _version(request: Request) -> int | None:
    text = request.path_params.get("version")
    try:
        return None if text is None else parse_version(text)
    except ValueError as error:
        raise InvalidInput(str(error), "version") from None

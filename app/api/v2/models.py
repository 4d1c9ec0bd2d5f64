"""Finds the model that a path of /v2 names, or a field."""

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
    return RequestedModel(name(request), read_version(request.path_params.get("version"), "version"))


def name(request: Request) -> str:
    """The name in the path.

    Raises:
        InvalidInput: it is not a model name.
    """
    return read_name(request.path_params["name"], "name")  # by hand: the gateway's shortcut skips FastAPI's checks


def named(name: str, version: str, prefix: str = "") -> RequestedModel:
    """The model that the fields `name` and `version` of a message name, the latter empty for the default version.

    Args:
        prefix: before the names of the fields.

    Raises:
        InvalidInput: one of them is invalid.
    """
    return RequestedModel(read_name(name, f"{prefix}name"), read_version(version or None, f"{prefix}version"))


def read_name(text: str, field: str) -> str:
    """A model name that came in a field of this name.

    Raises:
        InvalidInput: it is not one.
    """
    try:
        return check_name(text)
    except ValueError as error:
        raise InvalidInput(str(error), field) from None


def read_version(text: str | None, field: str) -> int | None:
    """A version that came in a field of this name, if there was one.

    Raises:
        InvalidInput: it is not one.
    """
    try:
        return None if text is None else parse_version(text)
    except ValueError as error:
        raise InvalidInput(str(error), field) from None

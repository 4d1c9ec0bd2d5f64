"""Which model a path of /v2 is about."""

from fastapi import Request

from app.api.inference import Target
from app.api.services import services
from app.contract.repository import check_name, parse_version
from app.engine.model_versions import AvailableModel
from app.errors import InvalidInput


def find(request: Request) -> AvailableModel:
    """The model that the path names, in the version that it names or the one that answers; perhaps not loaded yet.

    Raises:
        InvalidInput: the path holds no name or no version.
        UnknownModel, UnknownVersion: there is none, or it does not answer.
    """
    return services(request).registry.find(*target(request))


def target(request: Request) -> Target:
    """The same, not looked for yet.

    Raises:
        InvalidInput: the path holds no name or no version.
    """
    return Target(name(request), _version(request))


def name(request: Request) -> str:
    """The name in the path.

    Raises:
        InvalidInput: it is none.
    """
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

"""Which model a path of /v2 is about."""

from fastapi import Request

from app.contract.repository import check_name, parse_version
from app.engine.bare_model import Servable
from app.engine.model_versions import AvailableModel
from app.engine.registry import ModelRegistry
from app.errors import InvalidInput


def find(request: Request) -> AvailableModel:
    """The model that the path names, in the version that it names or the one that answers; perhaps not loaded yet.

    Raises:
        InvalidInput: the path holds no name or no version.
        UnknownModel, UnknownVersion: there is none, or it does not answer.
    """
    store: ModelRegistry = request.app.state.registry
    return store.find(name(request), _version(request))


async def obtain(request: Request, seconds: float) -> tuple[Servable, float]:
    """The same, loaded; and the seconds that are left.

    Raises:
        InvalidInput, UnknownModel, UnknownVersion: as find.
        DeadlineExceeded: loading it takes longer than so many seconds.
    """
    store: ModelRegistry = request.app.state.registry
    return await store.obtain(name(request), _version(request), seconds)


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

"""Which model a path of /v2 is about."""

from fastapi import Request

from app.contract import naming
from app.engine.plain import Servable
from app.engine.store import Store
from app.errors import InvalidInput


def find(request: Request) -> Servable:
    """The model that the path names, in the version that it names or the one that answers.

    Raises:
        InvalidInput: the path holds no name or no version.
        UnknownModel, UnknownVersion: there is none, or it is not in memory.
    """
    store: Store = request.app.state.store
    version = request.path_params.get("version")
    return store.find(name(request), None if version is None else _number(version))


def name(request: Request) -> str:
    """The name in the path.

    Raises:
        InvalidInput: it is none.
    """
    try:
        return naming.check_name(request.path_params["name"])
    except ValueError as error:
        raise InvalidInput(str(error), "name") from None


def _number(text: str) -> int:
    try:
        return naming.parse_version(text)
    except ValueError as error:
        raise InvalidInput(str(error), "version") from None

"""The fields of requests to the model repository, for the decoder and the OpenAPI document."""

from typing import Annotated, Any

import msgspec


class IndexRequest(msgspec.Struct):
    """Which versions to list."""

    ready: Annotated[bool, msgspec.Meta(description="Only those that answer")] = False


class ControlRequest(msgspec.Struct):
    """Parameters of loading; none is supported."""

    parameters: dict[str, Any] | None = None

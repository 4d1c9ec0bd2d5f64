"""The fields of requests to the model repository: the decoder reads by them, and the OpenAPI document shows them."""

from typing import Annotated, Any

import msgspec


class IndexRequest(msgspec.Struct):
    """Which versions to list."""

    ready: Annotated[bool, msgspec.Meta(description="Only those that answer")] = False


class ControlRequest(msgspec.Struct):
    """Parameters of loading; none is supported."""

    parameters: dict[str, Any] | None = None

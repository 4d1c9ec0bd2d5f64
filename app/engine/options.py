"""The operator's choices about the models of a service."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from app.contract.policy import NO_POLICIES, Policies


@dataclass(frozen=True)
class RegistryOptions:
    """Which versions answer, and when they are loaded.

    Args:
        pin: versions that answer instead of the highest valid one, by name of the model.
        default_model: the model that answers when a request names none.
        keep_versions: how many valid versions below the default one stay available to requests that name them.
        max_batch: the largest batch that a model will be given, in rows.
        allow_bare_onnx: whether to serve files without a contract, too.
        lazy: load a version with its first request, not before.
        load_all: load every version once to check that it can be served; overrides `lazy`.
        policies: the operator's policies, by name of the model.
        workers: how many processes share the cores.
    """

    pin: Mapping[str, int] = field(default_factory=dict)
    default_model: str | None = None
    keep_versions: int = 0
    max_batch: int = 64
    allow_bare_onnx: bool = False
    lazy: bool = False
    load_all: bool = False
    policies: Policies = field(default_factory=lambda: NO_POLICIES)
    workers: int = 1

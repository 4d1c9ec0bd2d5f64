"""The published schemas of Kubernetes, KEDA and the Prometheus operator; a field they do not have is an error.

KServe's need its SDK, which tests/clients has.
"""

from importlib import import_module
from typing import Any

from pydantic import ValidationError

CUSTOM = {
    ("keda.sh/v1alpha1", "ScaledObject"): "cloudcoil.models.keda.v1alpha1",
    ("monitoring.coreos.com/v1", "ServiceMonitor"): "cloudcoil.models.prometheus_operator.v1",
}
"""Where the models of kinds are that Kubernetes itself does not have; importing one takes seconds."""
VERSIONS = ("1.25", "1.37")
"""Of Kubernetes: the oldest and the newest that the package has."""


class Unpublished(Exception):
    """A document does not keep the published schema."""


def check(document: dict[str, Any]) -> None:
    """Raises Unpublished unless the document keeps the schema of its kind."""
    module = CUSTOM.get((document["apiVersion"], document["kind"]))
    if module is None:
        _check_core(document)
        return
    try:
        made = getattr(import_module(module), document["kind"]).model_validate(document)
    except ValidationError as error:
        raise Unpublished(str(error)) from error
    read = made.model_dump(mode="json", by_alias=True, exclude_unset=True)
    if read != document:  # these models drop what they do not know
        raise Unpublished(f"{document} has a field that the schema lacks: {read}")


def _check_core(document: dict[str, Any]) -> None:
    import kubernetes_validate

    for version in VERSIONS:
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            raise Unpublished(f"Kubernetes {version}: {error}") from error

"""What a page says of a cluster, held against the manifests and the published schemas; there is no cluster to ask."""

import os
import re
import tempfile
from pathlib import Path
from typing import Any

import yaml

from tests.kubernetes import schemas
from tests.kubernetes.manifests import FOLDER, pod, rendered, the
from tests.serving import ROOT

CLONE = "../masksembles-service"
"""A clone of this repository, beside the folder of a page's kustomization."""
IMAGES = [f"registry.example.com/masksembles-{name}:1" for name in ("service", "models")]
NAMESPACES = {"masksembles", "monitoring"}


def check(document: dict[str, Any]) -> None:
    """Raises AssertionError or schemas.Unpublished if a document does not fit this repository or its schema.

    A kustomization is rendered. Of other documents, those of the Prometheus adapter have no published schema.
    """
    if document.get("kind") == "Kustomization":
        _check_kustomization(document)
    elif "kind" in document:
        schemas.check(document)
        assert document["metadata"]["name"] in yaml.safe_dump_all(rendered(FOLDER / "cpu"))
    else:
        (rule,) = document["rules"]
        assert rule.keys() == {"seriesQuery", "resources", "name", "metricsQuery"}


def _check_kustomization(document: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        clone = os.path.relpath(ROOT.resolve(), Path(folder).resolve())
        (Path(folder) / "kustomization.yaml").write_text(yaml.safe_dump(document).replace(CLONE, clone))
        documents = rendered(Path(folder))
    for found in documents:
        if not found["apiVersion"].startswith("serving.kserve.io/"):  # whose schema is in its SDK
            schemas.check(found)
        assert found["metadata"]["namespace"] in NAMESPACES
    if any(found["kind"] == "ServingRuntime" for found in documents):  # KServe makes the pods, and brings the models
        specs, expected = [the("ServingRuntime", documents)["spec"]], IMAGES[:1]
    else:
        specs, expected = [pod(documents)], IMAGES
    images = {made["image"] for spec in specs for made in (*spec["containers"], *spec.get("initContainers", ()))}
    assert images == set(expected)


def check_command(words: list[str]) -> None:
    """Raises AssertionError if a command names a folder, a Secret, an entry of one or an object that there is not."""
    match words[1:]:
        case ["apply", "-k", folder]:
            assert folder == "../deploy" or (ROOT / folder / "kustomization.yaml").exists()
        case ["create", "namespace", name]:
            assert name in NAMESPACES
        case ["label", "namespace", name, label]:
            key, _, value = label.partition("=")
            (sources,) = the("NetworkPolicy", rendered(FOLDER / "cpu"))["spec"]["ingress"]
            assert {"namespaceSelector": {"matchLabels": {key: value}}} in sources["from"]
            assert name in NAMESPACES
        case ["-n", "masksembles", "create", "secret", "generic", name, *entries]:
            _check_secret(name, [re.split("=", entry.removeprefix("--from-"), maxsplit=2) for entry in entries])
        case ["-n", "masksembles", "rollout", "status", "deployment/masksembles"]:
            pass
        case ["-n", "masksembles", "port-forward", "service/masksembles", port]:
            (served,) = the("Service", rendered(FOLDER / "cpu"))["spec"]["ports"]
            assert served["port"] == int(port)
        case other:
            raise AssertionError(f"kubectl {other}")


def _check_secret(name: str, entries: list[list[str]]) -> None:
    keys = {entry[1] for entry in entries}
    text = "".join(path.read_text() for path in FOLDER.rglob("*.yaml"))
    if name == "masksembles-bucket":  # all its entries become variables
        assert {key for key in keys if not key.startswith("RCLONE_CONFIG_STORE_")} == {"MODELS"}
        assert "$(MODELS)" in text
        assert f"secretRef: {{name: {name}}}" in text
    elif name in ("masksembles-keys", "masksembles-feedback"):  # mounted: entries are files
        (key,) = keys
        assert f"secretName: {name}" in text
        assert f"value: /{name.removeprefix('masksembles-')}/{key}}}" in text
    else:
        (key,) = keys
        assert f"{{name: {name}, key: {key}}}" in text

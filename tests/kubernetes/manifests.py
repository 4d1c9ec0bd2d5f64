"""The manifests of docker/kubernetes as `kubectl kustomize` renders them. Nothing here asks a cluster."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.serving import ROOT

FOLDER = ROOT / "docker" / "kubernetes"
Document = dict[str, Any]
_OLD = ("'bases' is deprecated", "'patchesStrategicMerge' is deprecated")
"""The only words for an overlay that kubectl 1.20, which Debian 12 has, reads as well as today's."""


def rendered(folder: Path) -> list[Document]:
    """What a folder with a kustomization comes to; a test is skipped without kubectl, and fails where CI is set."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        says = "there is no kubectl: install it, or Debian's package kubernetes-client"
        if os.environ.get("CI"):
            pytest.fail(says)
        pytest.skip(says)
    done = subprocess.run([kubectl, "kustomize", str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if not any(word in line for word in _OLD)]
    assert not said  # what newer versions of kubectl will no longer read
    return list(yaml.safe_load_all(done.stdout))


def laid_over(folder: Path, overlay: str, components: Sequence[str] = (), **more: Any) -> list[Document]:
    """What a user's own kustomization comes to, which takes an overlay with components and says more.

    Args:
        folder: an empty one, for the kustomization. kustomize refuses absolute paths.
        more: other fields of the kustomization.
    """

    def below(path: str) -> str:
        return os.path.relpath((FOLDER / path).resolve(), folder.resolve())

    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [below(overlay)],
        "components": [below(f"components/{name}") for name in components],
        **more,
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return rendered(folder)


def the(kind: str, documents: list[Document]) -> Document:
    """The only document of a kind."""
    (found,) = (document for document in documents if document["kind"] == kind)
    return found


def pod(documents: list[Document]) -> Document:
    """What the Deployment says of its pods."""
    spec: Document = the("Deployment", documents)["spec"]["template"]["spec"]
    return spec

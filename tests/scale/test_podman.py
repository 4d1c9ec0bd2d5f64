"""The rendered Deployment for real where no cluster can be had: `podman kube play`. Run by `make test-scale`.

Podman is no cluster: it knows no ServiceAccount, Service or NetworkPolicy, starts one replica, and runs no probes
without systemd. What it does run is the pod: the init container that copies models, the security context, the mounts.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml

from app.auth import keys
from tests.kubernetes.manifests import laid_over, the
from tests.pictures import REQUEST, readme_answer, same_to_three_digits
from tests.serving import ROOT, free_port

CONTAINERS_CONF = """
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
"""
"""For a machine without systemd, where not even root may raise limits; crun refuses its mixed control groups."""
KEEP_INIT_CONTAINERS = {"io.podman.annotations.init.container.type": "always"}
CONTAINER = "masksembles-pod-0-masksembles"


@dataclass(frozen=True)
class Podman:
    """Podman with images and containers of its own, below a folder."""

    folder: Path

    def __call__(self, *arguments: str, check: bool = True) -> str:
        """What a command prints.

        Raises:
            AssertionError: it failed, and `check`.
        """
        places = ["--root", str(self.folder / "storage"), "--runroot", str(self.folder / "run")]
        done = subprocess.run(
            ["podman", *places, *arguments],
            env={**os.environ, "CONTAINERS_CONF": str(self.folder / "containers.conf")},
            capture_output=True, text=True, timeout=600,
        )  # fmt: skip
        assert not check or done.returncode == 0, done.stderr
        return done.stdout

    def fill(self, volume: str, files: dict[str, str]) -> None:
        """Makes a volume with these files."""
        self("volume", "create", volume)
        at = Path(self("volume", "inspect", volume, "--format", "{{.Mountpoint}}").strip())
        for name, text in files.items():
            (at / name).write_text(text)


@pytest.fixture(scope="module")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    """Podman with two images: the service, and one that holds the shipped models."""
    missing = [name for name in ("docker", "podman", "runc", "catatonit") if shutil.which(name) is None]
    missing += [] if Path("/usr/lib/cni/bridge").exists() else ["containernetworking-plugins"]
    if missing or os.getuid() != 0:
        says = f"podman kube play needs root, and Debian's packages of {', '.join(missing) or 'nothing else'}"
        if os.environ.get("CI"):
            pytest.fail(says)
        pytest.skip(says)
    folder = tmp_path_factory.mktemp("podman")
    (folder / "containers.conf").write_text(CONTAINERS_CONF)
    command = Podman(folder)
    subprocess.run(["docker", "compose", "build", "--quiet"], cwd=ROOT, check=True)
    # any image with `cp` will do: this one is there
    holds_models = b"FROM masksembles-service\nCOPY . /models\n"
    build = ["docker", "build", "--quiet", "--tag", "masksembles-models", "--file", "-", "models/repository"]
    subprocess.run(build, cwd=ROOT, input=holds_models, check=True)
    images = str(folder / "images.tar")
    subprocess.run(["docker", "save", "--output", images, "masksembles-service", "masksembles-models"], check=True)
    command("load", "--input", images)
    Path(images).unlink()
    try:
        yield command
    finally:
        command("system", "reset", "--force", check=False)


def deployment(folder: Path, port: int) -> str:
    """The Deployment of docker/kubernetes/cpu with its models from an image, and what podman 4.3 cannot do replaced.

    It publishes on a port of the host, mounts Secrets as they are encoded, pulls what it has, and fails when it removes
    an init container that has just ended.
    """
    spec = "/spec/template/spec"
    changes = [
        {"op": "add", "path": "/metadata/annotations", "value": KEEP_INIT_CONTAINERS},
        {"op": "add", "path": f"{spec}/containers/0/ports/0/hostIP", "value": "127.0.0.1"},
        {"op": "add", "path": f"{spec}/containers/0/ports/0/hostPort", "value": port},
        {"op": "add", "path": f"{spec}/containers/0/imagePullPolicy", "value": "Never"},
        {"op": "add", "path": f"{spec}/initContainers/0/imagePullPolicy", "value": "Never"},
        {
            "op": "replace",
            "path": f"{spec}/volumes/1",
            "value": {"name": "keys", "persistentVolumeClaim": {"claimName": "masksembles-keys"}},
        },
    ]
    documents = laid_over(
        folder, "cpu", ["models-from-image"],
        replicas=[{"name": "masksembles", "count": 1}],
        images=[
            {"name": name, "newName": f"localhost/{name}", "newTag": "latest"}
            for name in ("masksembles-service", "masksembles-models")
        ],
        patches=[{"target": {"kind": "Deployment"}, "patch": json.dumps(changes)}],
    )  # fmt: skip
    return yaml.safe_dump(the("Deployment", documents))


def test_the_rendered_pod_copies_its_models_asks_for_keys_answers_and_drains(podman: Podman, tmp_path: Path) -> None:
    port = free_port()
    key, line = keys.make_key("ci", "predict")
    podman.fill("masksembles-keys", {"keys": line + "\n"})
    (tmp_path / "overlay").mkdir()
    (tmp_path / "pod.yaml").write_text(deployment(tmp_path / "overlay", port))
    podman("kube", "play", str(tmp_path / "pod.yaml"))
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        until = time.monotonic() + 120
        while time.monotonic() < until:
            with suppress(httpx.TransportError):
                if client.get("/health/ready").status_code == 200:
                    break
            time.sleep(0.2)
        else:
            pytest.fail(podman("logs", CONTAINER))
        assert client.post("/predict", content=REQUEST.read_bytes()).status_code == 401
        answer = client.post("/predict", content=REQUEST.read_bytes(), headers=headers)
        assert same_to_three_digits(answer.json(), readme_answer())
        replica = client.get("/models", headers=headers).json()["replica"]
    assert replica == f"{podman('exec', CONTAINER, 'hostname').strip()}:8000"
    inside = podman("exec", CONTAINER, "sh", "-c", "id -u; grep -E '^(CapBnd|NoNewPrivs|Seccomp):' /proc/self/status")
    assert inside.split() == ["10001", "CapBnd:", "0000000000000000", "NoNewPrivs:", "1", "Seccomp:", "2"]
    for path in ("/x", "/models/x", "/keys/x"):
        assert podman("exec", CONTAINER, "sh", "-c", f"touch {path} 2>&1 || true").endswith("Read-only file system\n")
    podman("stop", "--time", "30", CONTAINER)
    assert podman("inspect", CONTAINER, "--format", "{{.State.ExitCode}}").strip() == "0"

"""A service under load whose model is replaced again and again."""

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import torch

from models.export import ExportOptions, export
from models.networks.mlp import mlp
from tests.bench.peak import memory
from tests.bench.series import slope
from tests.serving import as_process

_WIDE = 512  # some megabytes a model, so that one kept by mistake is seen


def two_networks(folder: Path) -> Path:
    """A repository with net:1 and net:2, the same but for their weights."""
    for seed in (0, 1):
        torch.manual_seed(seed)
        network = mlp((6,), 3, submodels=3, hidden=(_WIDE, _WIDE))
        export(
            network, torch.rand(2, 6), ExportOptions(labels="abc", plan="folded"), name="net", repository=folder / "two"
        )
    return folder / "two"


def reload(two: Path, folder: Path, times: int, module: str = "app") -> tuple[int, list[str], list[float]]:
    """Replaces the model of a service under load so many times, one network and the other by turns.

    Returns:
        How many requests were answered, what was wrong, and the resident megabytes after each time.
    """
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(two / "net" / "1", folder / "net" / "1")
    wrong: list[str] = []
    resident: list[float] = []
    answered = 0
    done = threading.Event()
    row = np.linspace(0, 1, 6).tolist()
    body = {"model": "net", "inputs": [row] * 3, "outputs": ["probabilities"]}
    with as_process(folder, module, MASKSEMBLES_ENABLE_ADMIN="true", MASKSEMBLES_POLL_SECONDS="0") as (client, process):
        expected = []
        for version in (1, 2):
            expected.append(client.post("/predict", json=body).raise_for_status().json()["predictions"])
            shutil.copytree(two / "net" / str(3 - version), folder / "net" / str(version + 1))
            client.post("/models/net/load").raise_for_status()

        def ask() -> int:
            count = 0
            with httpx.Client(base_url=client.base_url, timeout=30) as own:
                while not done.is_set():
                    try:
                        _compare(own.post("/predict", json=body), expected, wrong)
                    except httpx.HTTPError as error:
                        wrong.append(repr(error))
                    count += 1
            return count

        with ThreadPoolExecutor(2) as pool:
            try:
                asking = [pool.submit(ask) for _ in range(2)]
                for version in range(4, times + 4):
                    shutil.copytree(two / "net" / str(2 - version % 2), folder / "net" / str(version))
                    shutil.rmtree(folder / "net" / str(version - 2))
                    loaded = client.post("/models/net/load").raise_for_status().json()["version"]
                    if loaded != version:
                        wrong.append(f"version {loaded} answers instead of {version}")
                    resident.append(memory("VmRSS", process.pid))
            finally:
                done.set()
            answered = sum(task.result() for task in asking)
    return answered, wrong, resident


def growth(resident: list[float]) -> float:
    """Megabytes a reload over the later two thirds."""
    later = resident[len(resident) // 3 :]
    return slope([float(reload) for reload in range(len(later))], later)


def _compare(response: httpx.Response, expected: list[Any], wrong: list[str]) -> None:
    if response.status_code != 200:
        wrong.append(response.text)
        return
    answer = response.json()
    of_version = expected[(answer["model"]["version"] - 1) % 2]
    for found, wanted in zip(answer["predictions"], of_version, strict=True):
        if not np.allclose(found["probabilities"], wanted["probabilities"], atol=1e-6):
            wrong.append(f"version {answer['model']['version']} answered {found}, expected {wanted}")

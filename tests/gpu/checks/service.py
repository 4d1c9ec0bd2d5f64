"""The whole program on the device beside the same on the CPU: /predict and v2 with one client and with many, what
/health/ready and /metrics say of the device, and SIGTERM while requests are under way."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from app.engine.device import PROVIDERS
from tests.gpu.check import Setting, run
from tests.gpu.shipped import STORE, Served, shipped
from tests.gpu.tolerance import shares
from tests.serving import ROOT, SHIPPED, as_process

_CLIENTS = 16
_REQUESTS = 12  # of each
_OUTPUTS = {
    "classification": ("probabilities", "submodels", "entropy", "expected_entropy", "mutual_information", "energy"),
    "regression": ("submodels",),
}
_PATIENCE = 45.0


def check(setting: Setting) -> None:
    models = shipped(setting.device)
    with _started("cpu") as (cpu, _):
        expected = {model.name: _answers(cpu, model) for model in models}
    for graphs in (False, True):
        name = "CUDA graphs" if graphs else "service"
        with setting.figures.part(name):
            _serve(setting, models, expected, name, MASKSEMBLES_CUDA_GRAPHS=str(graphs).lower())
    with setting.figures.part("all models"):
        _load_all(setting)


def _load_all(setting: Setting) -> None:
    """`python -m app --check`: loads every shipped model at every batch size."""
    began = time.perf_counter()
    environment = {**os.environ, "MASKSEMBLES_DEVICE": setting.device}
    command = [sys.executable, "-m", "app", "--check"]
    ended = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=_PATIENCE, check=False
    )
    told = {"seconds": time.perf_counter() - began, "exit": ended.returncode, "models": ended.stdout.splitlines()}
    setting.figures.record("all models", told)
    setting.figures.expect(ended.returncode == 0, f"--check ends with {ended.returncode}: {ended.stderr[-500:]}")


def _serve(setting: Setting, models: list[Served], expected: dict[str, Any], name: str, **settings: str) -> None:
    figures = setting.figures
    began = time.perf_counter()
    with _started(setting.device, **settings) as (client, process):
        took = {"to ready": time.perf_counter() - began}
        ready = client.get("/health/ready").json()
        figures.record(f"{name}, ready", ready)
        figures.expect(ready.get("device") == setting.device, f"{name}: /health/ready names {ready.get('device')}")
        for model in models:
            began = time.perf_counter()
            found = _answers(client, model)
            took[f"first answers of {model.name}"] = time.perf_counter() - began
            for protocol, values in found.items():
                worst = shares(values, expected[model.name][protocol], model.contract.head.task)
                figures.record(f"{name}, {model.name}, {protocol}, shares of what is allowed", worst)
                beyond = {key: share for key, share in worst.items() if share > 1}
                figures.expect(not beyond, f"{name}: {model.name} by {protocol}: too far from the CPU, times: {beyond}")
        figures.record(f"{name}, many clients", _many(client, models[0], expected[models[0].name]["v2"], figures))
        told = [line for line in client.get("/metrics").text.splitlines() if line.startswith("masksembles_device_info")]
        figures.record(f"{name}, metrics", told)
        named = any(f'device="{setting.device}"' in line and PROVIDERS[setting.device] in line for line in told)
        figures.expect(named, f"{name}: /metrics does not name the device")
        code, took["to exit"] = _end(client, process, models[0])
        figures.record(f"{name}, seconds", took)
        figures.expect(code == 0, f"{name}: SIGTERM with requests under way ends it with {code}")


@contextmanager
def _started(device: str, **settings: str) -> Iterator[tuple[httpx.Client, "subprocess.Popen[str]"]]:
    """The program over the shipped models, ready.

    Raises:
        RuntimeError: it does not get ready; the message holds the end of its log.
    """
    patient = {"MASKSEMBLES_QUEUE_TIMEOUT_MS": "30000", "MASKSEMBLES_DEVICE": device}
    with as_process(STORE, **{**SHIPPED, **patient, **settings}) as (client, process):
        until = time.monotonic() + _PATIENCE
        while process.poll() is None and time.monotonic() < until:
            if client.get("/health/ready").status_code == 200:
                break
            time.sleep(0.05)
        else:
            process.kill()
            said = process.stderr.read() if process.stderr else ""
            raise RuntimeError(f"the service on {device} is not ready: {said[-2000:]}")
        yield client, process


def _answers(client: httpx.Client, model: Served) -> dict[str, dict[str, NDArray[Any]]]:
    """What both protocols answer to the rows, as arrays by name."""
    names = _OUTPUTS[model.contract.head.task]
    body = {"model": model.name, "inputs": model.rows.tolist()}
    rows = client.post("/predict", json=body).raise_for_status().json()["predictions"]
    predict = {name: np.array([row[name] for row in rows]) for name in names if name != "submodels"}
    key = "probabilities" if model.contract.head.task == "classification" else "prediction"
    predict["submodels"] = np.array([[each[key] for each in row["submodels"]] for row in rows])
    return {"predict": predict, "v2": _v2(client, model.name, model.rows, names)}


def _v2(client: httpx.Client, name: str, rows: NDArray[Any], outputs: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    given = {"name": "input", "datatype": "FP32", "shape": list(rows.shape), "data": rows.ravel().tolist()}
    body = {"inputs": [given], "outputs": [{"name": each} for each in outputs]}
    answer = client.post(f"/v2/models/{name}/infer", json=body).raise_for_status().json()
    return {each["name"]: np.array(each["data"]).reshape(each["shape"]) for each in answer["outputs"]}


def _many(client: httpx.Client, model: Served, expected: dict[str, NDArray[Any]], figures: Any) -> dict[str, float]:
    """Requests of different sizes at the same time, so that batches form; every answer is compared."""
    names = _OUTPUTS[model.contract.head.task]

    def ask(seed: int) -> float:
        rng, worst = np.random.default_rng(seed), 0.0
        for _ in range(_REQUESTS):
            size = int(rng.integers(1, 9))
            at = int(rng.integers(0, len(model.rows) - size))
            found = _v2(client, model.name, model.rows[at : at + size], names)
            wanted = {key: values[at : at + size] for key, values in expected.items()}
            worst = max(worst, *shares(found, wanted, model.contract.head.task).values())
        return worst

    began = time.perf_counter()
    with ThreadPoolExecutor(_CLIENTS) as pool:
        worst = max(pool.map(ask, range(_CLIENTS)))
    took = time.perf_counter() - began
    figures.expect(worst <= 1, f"with many clients an answer is {worst:.3g} times what is allowed from the CPU's")
    return {"share of what is allowed": worst, "requests a second": _CLIENTS * _REQUESTS / took}


def _end(client: httpx.Client, process: "subprocess.Popen[str]", model: Served) -> tuple[int | None, float]:
    """SIGTERM while requests are under way: the exit code, and the seconds until then."""
    threads = [threading.Thread(target=_quietly, args=(client, model), daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    began = time.perf_counter()
    process.send_signal(signal.SIGTERM)
    try:
        return process.wait(30), time.perf_counter() - began
    except subprocess.TimeoutExpired:
        return None, time.perf_counter() - began


def _quietly(client: httpx.Client, model: Served) -> None:
    try:
        _v2(client, model.name, model.rows, ("entropy",))
    except httpx.HTTPError as error:  # it may come too late to be accepted
        print(f"while it ends: {error!r}", flush=True)


if __name__ == "__main__":
    run(check)

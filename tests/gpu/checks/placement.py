"""Where operations really run: by the placement that onnxruntime reports, and by its profile of a run."""

import json
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import onnxruntime

from app.engine.device import PROVIDERS, Device
from app.engine.io_binding import IOBindingSession
from app.engine.model import Model
from tests.gpu import exports
from tests.gpu.check import Setting, run
from tests.gpu.shipped import Served, shipped, unpacked

_BATCH = 16
_RUNS = 3
_PACKED = (exports.TRAINED, "fashion-mnist.branches.float16", "resnet50.folded.float32", "resnet50.grouped.float16")
_HEAVY = ("Conv", "Gemm", "MatMul")


def check(setting: Setting) -> None:
    device = setting.choose()
    models = shipped(setting.device)
    packed = [name for name in exports.names(setting.exports) if setting.on_gpu and name in _PACKED]
    for model in models:
        with setting.figures.part(model.name):
            _place(setting, device, model)
    for name in packed:
        with setting.figures.part(name):
            _place(setting, device, unpacked(setting.exports, name, setting.device, _BATCH))


def _place(setting: Setting, device: Device, model: Served) -> None:
    figures, wanted = setting.figures, PROVIDERS[device.name]
    content = model.path.read_bytes()
    began = time.perf_counter()
    session = IOBindingSession(content, device, model.contract, _BATCH)
    opened = time.perf_counter()
    Model(model.name, 1, model.contract, [session])  # runs every batch size, as the service does
    warm = time.perf_counter()
    placed = Counter(
        (part.ep_name, node.op_type)
        for part in session._session.get_provider_graph_assignment_info()
        for node in part.get_nodes()
    )
    ran = _profile(content, device, model)
    runs = Counter({key: number for key, (number, _) in ran.items()})
    figures.record(
        model.name,
        {
            "seconds_to_open": opened - began,
            "seconds_to_warm_up": warm - opened,
            "placed": _by_provider(placed),
            "ran": _by_provider(runs),
            "kernel_microseconds": {
                provider: sum(micros for (where, _), (_, micros) in ran.items() if where == provider)
                for provider in {where for where, _ in ran}
            },
        },
    )
    for told, counts in (("placement", placed), ("profile", runs)):
        heavy = {key: number for key, number in counts.items() if any(word in key[1] for word in _HEAVY)}
        astray = sorted({op for where, op in heavy if where != wanted})
        figures.expect(bool(heavy), f"{model.name}: the {told} shows no convolution or product")
        figures.expect(not astray, f"{model.name}: by the {told}, not on {wanted}: {', '.join(astray)}")


def _profile(content: bytes, device: Device, model: Served) -> dict[tuple[str, str], tuple[int, int]]:
    """Runs by provider and operation: their number and their microseconds on the host."""
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        providers: list[Any] = [PROVIDERS["cpu"]]
        if device.name == "cuda":
            providers.insert(0, (PROVIDERS["cuda"], device.cuda.provider_options(0)))
        session = onnxruntime.InferenceSession(content, options, providers=providers)
        for _ in range(_RUNS):
            session.run(model.outputs, {model.contract.inputs[0].name: model.rows[:_BATCH]})
        events = json.loads(Path(session.end_profiling()).read_text())
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for event in events:
        told = event.get("args", {})
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            key = (told.get("provider", ""), told.get("op_name", ""))
            number, micros = found.get(key, (0, 0))
            found[key] = (number + 1, micros + int(event.get("dur", 0)))
    return found


def _by_provider(counts: "Counter[tuple[str, str]]") -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for (provider, operation), number in sorted(counts.items()):
        found.setdefault(provider, {})[operation] = number
    return found


if __name__ == "__main__":
    run(check)

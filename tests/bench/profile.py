"""`make bench-profile`: where the processor time of a request goes, by what the service's threads are at when sampled.

py-spy looks at the threads a thousand times a second and leaves out those that wait. The innermost function that a line
of PHASES names decides what a sample counts for; shares are of all samples, so they add up to 100. Threads of
onnxruntime's own are none of Python's and not seen: the models here run in the thread that calls them.
Needs wrk, and leave to trace a process (root, or the same user where the system allows it).
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from tests.bench.footprint import processor_seconds
from tests.bench.load import closed, need_wrk
from tests.pictures import pictures
from tests.serving import ROOT, SHIPPED, as_process

CLIENTS = (1, 32, 128)
RATE = 1000
FOUR = ["prediction", "probabilities", "entropy", "mutual_information"]

PHASES: dict[str, tuple[str, ...]] = {
    "read and parse HTTP": ("app/http_parser.py", "app/http_protocol.py", "app/connections.py",
                            "httptools_impl.py:HttpToolsProtocol", "flow_control.py"),
    "write": ("app/lingering_transport.py", "httptools_impl.py:RequestResponseCycle.send", "starlette/responses.py",
              "http_exchange.py:HttpExchange.finish", "send_marked", "security_headers.py"),
    "JSON or tensors in": ("json_arrays.py", "json_inputs.py", "input_rows.py", "tensors.py", "app/api/body.py",
                           "params.py", "content_types.py", "infer_request.py", "v2/request.py", "app/api/query.py"),
    "run": ("app/engine/session.py", "app/engine/io_binding.py"),
    "join and share out": ("app/engine/job.py", "row_shapes.py", "batcher.py:Batcher._share_out",
                           "batcher.py:Batcher._deliver", "batcher.py:_answers"),
    "scores and decisions": ("derived.py", "app/contract/"),
    "JSON or tensors out": ("predict/response.py", "v2/response.py", "app/api/predict/tasks/", "reports.py"),
    "queue and hand-over": ("app/engine/",),
    "metrics and traces": ("app/telemetry/", "request_metrics.py", "prometheus_client/"),
    "admission": ("app/auth/", "app/api/memory.py", "app/api/services.py"),
    "ASGI and the path of a request": ("app/api/", "httptools_impl.py", "starlette/", "fastapi/"),
    "event loop": ("asyncio/", "app/server.py", "uvicorn/"),
}  # fmt: skip
REST = "else"


@dataclass(frozen=True)
class Case:
    """A request."""

    name: str
    path: str
    body: Path
    headers: tuple[str, ...] = ()


def phase_of(stack: str) -> str | None:
    """What a sampled stack counts for; None for a thread that only waits.

    Args:
        stack: frames as py-spy writes them, outermost first: `function (file:line)`, with a semicolon between them.
    """
    frames = [_frame(text) for text in reversed(stack.split(";"))]
    if frames and re.search(r"threading\.py:(Condition\.)?wait$", frames[0]):
        return None
    for frame in frames:
        for phase, places in PHASES.items():
            if any(place in frame for place in places):
                return phase
    return REST


def _frame(text: str) -> str:
    """`path/of/file.py:function` without the line."""
    function, _, place = text.rpartition(" (")
    return f"{place.rpartition(':')[0]}:{function}"


def shares(raw: str) -> dict[str, float]:
    """Per cent of each phase, from py-spy's raw format: a stack and its number of samples in each line."""
    found: Counter[str] = Counter()
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        if (phase := phase_of(stack)) is not None:
            found[phase] += int(count)
    return {phase: 100 * found[phase] / max(1, found.total()) for phase in (*PHASES, REST)}


def cases(folder: Path) -> Iterator[Case]:
    """/predict with all outputs and with four, and /v2 in JSON and in bytes."""
    row = np.ascontiguousarray(pictures().inputs[:1])

    def written(name: str, **fields: object) -> Path:
        path = folder / name
        path.write_bytes(orjson.dumps(fields, option=orjson.OPT_SERIALIZE_NUMPY))
        return path

    yield Case("/predict, all outputs", "/predict", written("all", model="fashion-mnist", inputs=row))
    yield Case("/predict, four", "/predict", written("four", model="fashion-mnist", inputs=row, outputs=FOUR))
    tensor = {"name": "input", "shape": list(row.shape), "datatype": "FP32"}
    infer = "/v2/models/fashion-mnist/infer"
    yield Case("/v2, JSON", infer, written("v2", inputs=[{**tensor, "data": row.ravel()}]))
    described = {**tensor, "parameters": {"binary_data_size": row.nbytes}}
    head = orjson.dumps({"inputs": [described], "parameters": {"binary_data_output": True}})
    (folder / "binary").write_bytes(head + row.tobytes())
    headers = ("Content-Type: application/octet-stream", f"Inference-Header-Content-Length: {len(head)}")
    yield Case("/v2, binary", infer, folder / "binary", headers)


def profiled(url: str, case: Case, process: int, clients: int, seconds: int) -> tuple[dict[str, float], float, float]:
    """Shares of the phases, µs of a processor for a request, and requests a second."""
    closed(url, case.body, clients, 1, case.headers)
    with tempfile.NamedTemporaryFile() as raw:
        used = processor_seconds(process)
        spy = subprocess.Popen(
            [_py_spy(), "record", "--pid", str(process), "--format", "raw", "--rate", str(RATE), "--nonblocking",
             "--full-filenames", "--duration", str(seconds), "--output", raw.name],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        load = closed(url, case.body, clients, seconds, case.headers)
        took = processor_seconds(process) - used
        _, said = spy.communicate()
        if spy.returncode:
            raise SystemExit(f"error: py-spy: {said.strip()}")
        if load.errors:
            raise SystemExit(f"error: {load.errors} requests failed")
        return shares(Path(raw.name).read_text()), 1e6 * took / (load.throughput * seconds), load.throughput


def _py_spy() -> str:
    found = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which("py-spy")
    if found is None:
        raise SystemExit("error: py-spy is not installed (pip install py-spy)")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=8, help="of each load")
    parser.add_argument("--only", help="the one request to measure, by a part of its name")
    options = parser.parse_args()
    need_wrk()
    with (
        tempfile.TemporaryDirectory() as folder,
        as_process(ROOT / "models" / "repository", **SHIPPED) as (client, process),
    ):
        columns = {}
        for case in cases(Path(folder)):
            if options.only and options.only not in case.name:
                continue
            for clients in CLIENTS:
                url = f"{client.base_url}{case.path}"
                found, micros, rate = profiled(url, case, process.pid, clients, options.seconds)
                columns[f"{case.name}, {clients}"] = (found, micros, rate)
        print("| % of the processor time |", " | ".join(columns), "|")
        print("|---|" + "---|" * len(columns))
        for phase in (*PHASES, REST):
            print(f"| {phase} |", " | ".join(f"{found[phase]:.1f}" for found, _, _ in columns.values()), "|")
        print(
            "| µs of a processor for a request |", " | ".join(f"{micros:.0f}" for _, micros, _ in columns.values()), "|"
        )
        print("| requests a second |", " | ".join(f"{rate:.0f}" for _, _, rate in columns.values()), "|")


if __name__ == "__main__":
    main()

"""Clients of a service whose models change underneath: each compares every number with that of the version it names.

`python -m tests.bench.asking PORT FOLDER CLIENTS SEED` asks over so many connections until its input ends, then prints
what became of it as JSON. A process of its own for each dozen, or the clients would wait for each other.
"""

import http.client
import io
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray
from PIL import Image

from tests.bench import versions
from tests.bench.versions import Arrays, Expected

ATOL, RTOL = 2e-5, 1e-4
_MOST_ROWS = 1024  # in a request, and the default of the service
_USUAL_ROWS = 32
_SECONDS = 120.0  # for an answer, of which none may fail
_DERIVED = ("percentiles", "decision", "prediction_set", "intervals")  # of /predict; not numbers of the graph


class Question(NamedTuple):
    """A request, and how its answer is read."""

    path: str
    body: bytes
    headers: dict[str, str]
    read: "Reader"


Answer = tuple[int, Arrays]
"""The version that answered, and outputs by name."""
Reader = Callable[[http.client.HTTPResponse, bytes], Answer]


def from_json(_: http.client.HTTPResponse, content: bytes) -> Answer:
    """The answer of /predict."""
    answer = orjson.loads(content)
    rows = answer["predictions"]
    found: Arrays = {}
    for name in rows[0]:
        if name in ("label", "index", "confidence", *_DERIVED):
            continue
        values = [row[name] for row in rows]
        if name == "submodels":
            keys = {"probabilities": name, "prediction": name, "variance": "submodel_variances"}
            for key, output in keys.items():
                if key in values[0][0]:
                    found[output] = np.array([[one[key] for one in row] for row in values])
        else:
            found[name] = np.array(values)
    if "index" in rows[0]:
        found["prediction"] = np.array([row["index"] for row in rows])
        found["confidence"] = np.array([row["confidence"] for row in rows])
    return answer["model"]["version"], found


def from_npz(_: http.client.HTTPResponse, content: bytes) -> Answer:
    """The answer of /predict as arrays."""
    with np.load(io.BytesIO(content)) as arrays:
        found = {name: arrays[name] for name in arrays.files if not name.startswith(_DERIVED)}
    return int(found.pop("version")), {name: values for name, values in found.items() if name != "model"}


def from_v2(response: http.client.HTTPResponse, content: bytes) -> Answer:
    """The answer of /v2, with its outputs in JSON or as bytes."""
    length = response.headers.get("Inference-Header-Content-Length")
    head, blob = (content, b"") if length is None else (content[: int(length)], content[int(length) :])
    answer = orjson.loads(head)
    found: Arrays = {}
    for output in answer["outputs"]:
        if "data" in output:
            values = np.array(output["data"])
        else:
            size = output["parameters"]["binary_data_size"]
            values, blob = np.frombuffer(blob[:size], "<i8" if output["datatype"] == "INT64" else "<f4"), blob[size:]
        found[output["name"]] = values.reshape(output["shape"])
    return int(answer["model_version"]), found


class Asker:
    """One client. It asks for some rows of some model in some format, and for some outputs, again and again."""

    def __init__(self, port: int, expected: dict[str, Expected], seed: int) -> None:
        self.answers: Counter[str] = Counter()
        self.versions: Counter[str] = Counter()
        self.numbers = 0
        self.wrong: list[str] = []
        self.slowest = 0.0
        self._port = port
        self._expected = expected
        self._random = np.random.default_rng(seed)

    def run(self, done: threading.Event) -> None:
        """Asks until it is told to stop."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_SECONDS)
        while not done.is_set():
            name = str(self._random.choice(versions.NAMES))
            count = int(self._random.integers(1, _USUAL_ROWS + 1))
            if self._random.random() < 0.02:
                count = int(self._random.integers(1, _MOST_ROWS + 1))
            try:
                self._ask(connection, name, self._random.integers(0, len(self._expected[name].rows), count))
            except (OSError, http.client.HTTPException, ValueError, KeyError, IndexError) as error:
                self.wrong.append(f"{name}: {error!r}")
                connection.close()
        connection.close()

    def _ask(self, connection: http.client.HTTPConnection, name: str, at: NDArray[np.int64]) -> None:
        forms = [self._json, self._npy, self._v2_json, self._v2_binary]
        if name == "fashion-mnist":
            forms.append(self._image)
        form = forms[self._random.integers(len(forms))]
        at = at[:1] if form == self._image else at
        question = form(name, self._expected[name].rows[at], self._outputs(name))
        began = time.monotonic()
        connection.request("POST", question.path, question.body, question.headers)
        response = connection.getresponse()
        content = response.read()
        self.slowest = max(self.slowest, time.monotonic() - began)
        self.answers[f"{name} {form.__name__[1:]} {response.status}"] += 1
        if response.status != 200:
            self.wrong.append(f"{name}: {response.status} {content[:200]!r}")
            return
        version, found = question.read(response, content)
        self.versions[f"{name}:{version}"] += 1
        self._compare(f"{name}:{version}", found, self._expected[name].of(version), at)

    def _compare(self, what: str, found: Arrays, expected: Arrays, at: NDArray[np.int64]) -> None:
        if not found:
            self.wrong.append(f"{what} answered nothing")
        for name, values in found.items():
            wanted = expected["probabilities"].max(axis=1) if name == "confidence" else expected[name]
            wanted = wanted[at]
            if values.shape != wanted.shape:
                self.wrong.append(f"{what} answered {name} {list(values.shape)}, expected {list(wanted.shape)}")
            elif not np.allclose(values, wanted, atol=ATOL, rtol=RTOL):
                first = np.argwhere(~np.isclose(values, wanted, atol=ATOL, rtol=RTOL))[0]
                pair = f"{values[tuple(first)]}, expected {wanted[tuple(first)]}"
                self.wrong.append(f"{what} answered {name}{first.tolist()} {pair}")
            self.numbers += values.size

    def _outputs(self, name: str) -> list[str]:
        """Some outputs of the graph; none for what is answered by default."""
        there = [
            output
            for output in self._expected[name].outputs[0]
            if output != "submodel_variances"  # comes with the submodels
        ]
        if self._random.random() < 0.2:
            return []
        count = self._random.integers(1, len(there) + 1)
        return [str(output) for output in self._random.permutation(there)[:count]]

    def _json(self, name: str, rows: NDArray[np.float32], outputs: list[str]) -> Question:
        asked = {"model": name, "inputs": rows, **({"outputs": outputs} if outputs else {})}
        body = orjson.dumps(asked, option=orjson.OPT_SERIALIZE_NUMPY)
        return Question("/predict", body, {"Content-Type": "application/json"}, from_json)

    def _npy(self, name: str, rows: NDArray[np.float32], outputs: list[str]) -> Question:
        stream = io.BytesIO()
        np.save(stream, rows)
        headers = {"Content-Type": "application/x-npy", "Accept": "application/x-npz"}
        return Question(self._query(name, outputs), stream.getvalue(), headers, from_npz)

    def _image(self, name: str, rows: NDArray[np.float32], outputs: list[str]) -> Question:
        stream = io.BytesIO()
        Image.fromarray(np.rint(rows[0, 0] * 255).astype(np.uint8)).save(stream, "png")
        return Question(self._query(name, outputs), stream.getvalue(), {"Content-Type": "image/png"}, from_json)

    def _v2_json(self, name: str, rows: NDArray[np.float32], outputs: list[str]) -> Question:
        given = {"name": "input", "datatype": "FP32", "shape": rows.shape, "data": rows.ravel()}
        return self._v2(name, given, b"", [{"name": output} for output in outputs])

    def _v2_binary(self, name: str, rows: NDArray[np.float32], outputs: list[str]) -> Question:
        blob = rows.astype("<f4").tobytes()
        given: dict[str, Any] = {"name": "input", "datatype": "FP32", "shape": rows.shape}
        given["parameters"] = {"binary_data_size": len(blob)}
        binary = [{"name": output, "parameters": {"binary_data": True}} for output in outputs]
        return self._v2(name, given, blob, binary)

    def _v2(self, name: str, given: dict[str, Any], blob: bytes, outputs: list[dict[str, Any]]) -> Question:
        asked = {"inputs": [given], **({"outputs": outputs} if outputs else {})}
        head = orjson.dumps(asked, option=orjson.OPT_SERIALIZE_NUMPY)
        headers = {"Inference-Header-Content-Length": str(len(head))} if blob else {}
        return Question(f"/v2/models/{name}/infer", head + blob, headers, from_v2)

    @staticmethod
    def _query(name: str, outputs: list[str]) -> str:
        return f"/predict?model={name}" + (f"&outputs={','.join(outputs)}" if outputs else "")


def main(port: str, folder: str, clients: str, seed: str) -> None:
    expected = {name: versions.read(Path(folder), name) for name in versions.NAMES}
    askers = [Asker(int(port), expected, int(seed) + at) for at in range(int(clients))]
    done = threading.Event()
    threads = [threading.Thread(target=asker.run, args=(done,)) for asker in askers]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    done.set()
    for thread in threads:
        thread.join()
    found = {
        "answers": sum((asker.answers for asker in askers), Counter()),
        "versions": sum((asker.versions for asker in askers), Counter()),
        "numbers": sum(asker.numbers for asker in askers),
        "wrong": [line for asker in askers for line in asker.wrong],
        "slowest": max(asker.slowest for asker in askers),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""The Open Inference Protocol v2 as a client has it: writes requests, and reads answers without any leniency."""

import json
import math
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

LENGTH = "Inference-Header-Content-Length"
NUMPY = {
    "BOOL": "|b1", "UINT8": "|u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "INT8": "|i1", "INT16": "<i2",
    "INT32": "<i4", "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8", "BYTES": "O",
}  # fmt: skip
DATATYPES = {np.dtype(dtype): datatype for datatype, dtype in NUMPY.items()}

Head = dict[str, Any]


def strict(content: bytes | str) -> Any:
    """JSON as its standard has it: NaN and Infinity are none."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    return json.loads(content, parse_constant=refuse)


def tensor(name: str, values: NDArray[Any], **parameters: object) -> Head:
    """An input with its values in JSON, flat."""
    described = {"name": name, "datatype": DATATYPES[values.dtype], "shape": list(values.shape)}
    return {**described, "data": values.ravel().tolist()} | ({"parameters": parameters} if parameters else {})


def packed(values: NDArray[Any]) -> bytes:
    """Values as the bytes that follow the JSON."""
    if values.dtype != object:
        return values.astype(NUMPY[DATATYPES[values.dtype]]).tobytes()
    texts = [text.encode() for text in values.ravel()]
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)


def binary_tensor(name: str, values: NDArray[Any]) -> tuple[Head, bytes]:
    """An input whose values follow the JSON, and those."""
    blob = packed(values)
    described = {"name": name, "datatype": DATATYPES[values.dtype], "shape": list(values.shape)}
    return {**described, "parameters": {"binary_data_size": len(blob)}}, blob


def write(head: object, *blobs: bytes) -> tuple[bytes, dict[str, str]]:
    """A body, and the header that tells where its bytes begin, if there are any."""
    text = json.dumps(head).encode()
    return b"".join([text, *blobs]), {LENGTH: str(len(text))} if blobs else {}


def post(client: httpx.Client, model: str, head: object, *blobs: bytes, **headers: str) -> httpx.Response:
    """Asks a model, `name` or `name/versions/version`."""
    body, own = write(head, *blobs)
    return client.post(f"/v2/models/{model}/infer", content=body, headers={**own, **headers})


def read(response: httpx.Response) -> tuple[Head, dict[str, NDArray[Any]]]:
    """The JSON of an answer and its outputs by name, after a look at all that the protocol says of its form."""
    assert response.status_code == 200, response.text
    length = response.headers.get(LENGTH)
    content = response.content
    head = strict(content if length is None else content[: int(length)])
    blobs = b"" if length is None else content[int(length) :]
    assert bool(blobs) == (length is not None)
    assert response.headers["content-type"] == ("application/octet-stream" if blobs else "application/json")
    assert set(head) - {"id"} == {"model_name", "model_version", "outputs"}
    found: dict[str, NDArray[Any]] = {}
    for output in head["outputs"]:
        values = _json_values(output)
        if values is None:
            size = output["parameters"]["binary_data_size"]
            values, blobs = _unpacked(blobs[:size], output["datatype"]), blobs[size:]
        assert output["name"] not in found
        found[output["name"]] = values.reshape(output["shape"])
    assert not blobs
    return head, found


def _json_values(output: Head) -> NDArray[Any] | None:
    if "data" not in output:
        assert set(output) == {"name", "datatype", "shape", "parameters"}
        assert set(output["parameters"]) == {"binary_data_size"}
        return None
    assert set(output) == {"name", "datatype", "shape", "data"}
    assert len(output["data"]) == math.prod(output["shape"])
    kinds: dict[str, tuple[type, ...]] = {"b": (bool,), "i": (int,), "u": (int,), "f": (int, float), "O": (str,)}
    dtype = np.dtype(NUMPY[output["datatype"]])
    assert {type(value) for value in output["data"]} <= set(kinds[dtype.kind])
    return np.array(output["data"], dtype)


def _unpacked(blob: bytes, datatype: str) -> NDArray[Any]:
    if datatype != "BYTES":
        return np.frombuffer(blob, NUMPY[datatype])
    texts: list[str] = []
    while blob:
        end = 4 + int.from_bytes(blob[:4], "little")
        assert end <= len(blob)
        texts.append(blob[4:end].decode())
        blob = blob[end:]
    return np.array(texts, object)


def error_of(response: httpx.Response) -> str:
    """The text of an answer that is not a success, whose body holds that and nothing else."""
    assert response.status_code >= 400, response.text
    assert response.headers["content-type"] == "application/json"
    body = strict(response.content)
    assert set(body) == {"error"}
    assert isinstance(body["error"], str)
    assert body["error"].strip()
    return str(body["error"])

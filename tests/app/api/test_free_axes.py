"""A model whose pictures have any size within bounds, asked in every form that they can have."""

import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from app.contract.axis import FreeAxis
from app.contract.tensor import Tensor
from tests import artefacts, graphs
from tests.serving import serving

AXES = {"H": FreeAxis(least=4, most=32, multiple_of=4), "W": FreeAxis(least=2, most=40)}
GIVEN = Tensor(
    name="input", dtype="float32", shape=("B", 1, "H", "W"), unit="pixel", range=(0, 1), layout="BCHW", colour="grey"
)
MODEL, CONTRACT = graphs.classifier(GIVEN, "abc", submodels=3, axes=AXES)
SIZES = [(4, 2), (8, 8), (12, 31), (32, 40)]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("free")
    artefacts.write(folder, "free", MODEL, CONTRACT)
    with serving(folder, max_rows=8) as opened:
        yield opened


def rows_of(count: int, size: Sequence[int]) -> NDArray[np.float32]:
    """Pixels as a file of 8 bits can hold them, some rows brighter than others."""
    levels = (
        np.random.default_rng(sum(size)).integers(0, 256, (count, 1, *size))
        // np.arange(1, count + 1)[:, None, None, None]
    )
    return (levels / np.float32(255)).astype(np.float32)


def npy(rows: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, rows)
    return stream.getvalue()


def png(row: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.round(row[0] * 255).astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def asked(client: httpx.Client, form: str, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """The probabilities [B, K] for rows sent in one of the forms."""
    if form == "v2":
        tensor = {"name": "input", "datatype": "FP32", "shape": list(rows.shape), "data": rows.ravel().tolist()}
        body = {"inputs": [tensor], "outputs": [{"name": "probabilities"}]}
        (found,) = client.post("/v2/models/free/infer", json=body).raise_for_status().json()["outputs"]
        return np.array(found["data"]).reshape(found["shape"])
    if form == "json":
        response = client.post("/predict", json={"inputs": rows.tolist()})
    elif form == "npy":
        response = client.post("/predict", content=npy(rows), headers={"Content-Type": "application/x-npy"})
    else:
        files = [("inputs", (f"{index}.png", png(row), "image/png")) for index, row in enumerate(rows)]
        response = client.post("/predict", files=files)
    return np.array([row["probabilities"] for row in response.raise_for_status().json()["predictions"]])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("form", ["json", "npy", "form", "v2"])
def test_every_size_in_every_form_gives_what_the_graph_gives(
    client: httpx.Client, form: str, size: tuple[int, int]
) -> None:
    rows = rows_of(3, size)
    expected = artefacts.run(MODEL, rows, ["probabilities"])["probabilities"]
    assert np.ptp(expected, axis=0).max() > 1e-3  # the rows differ
    np.testing.assert_allclose(asked(client, form, rows), expected, atol=1e-6)


def test_one_picture_as_the_whole_body(client: httpx.Client) -> None:
    (row,) = rows_of(1, (12, 31))
    found = client.post("/predict", content=png(row), headers={"Content-Type": "image/png"}).json()
    expected = artefacts.run(MODEL, row[None], ["probabilities"])["probabilities"]
    np.testing.assert_allclose([found["predictions"][0]["probabilities"]], expected, atol=1e-6)


def test_many_sizes_at_once_each_get_their_own(client: httpx.Client) -> None:
    given = [(form, rows_of(count, size)) for size in SIZES for count in (1, 3) for form in ("json", "npy", "v2")] * 4
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda one: asked(client, *one), given))
    for (_, rows), found in zip(given, answers):
        np.testing.assert_allclose(found, artefacts.run(MODEL, rows, ["probabilities"])["probabilities"], atol=1e-6)


def error(response: httpx.Response) -> tuple[int, str | None, str]:
    found = response.json()["error"]
    return response.status_code, found.get("field"), found["message"]


@pytest.mark.parametrize(
    ("inputs", "field", "message"),
    [
        (np.zeros((1, 1, 6, 8)), "inputs[0][0]", "expected H = 4 to 32 and a multiple of 4, got 6"),
        (np.zeros((1, 1, 36, 8)), "inputs[0][0]", "expected H = 4 to 32 and a multiple of 4, got 36"),
        (np.zeros((1, 1, 8, 41)), "inputs[0][0][0]", "expected W = 2 to 40, got 41"),
        (np.zeros((1, 2, 8, 8)), "inputs[0]", "expected 1 here, got 2"),
        (np.zeros((1, 8, 8)), "inputs", "in another depth"),
        (np.zeros((9, 1, 8, 8)), "inputs", "with 1 to 8 rows"),
        (np.full((1, 1, 4, 2), 1.5), "inputs[0][0][0][0]", "expected values in [0, 1] (pixel), got 1.5"),
    ],
)
def test_a_row_outside_the_axes_is_refused(
    client: httpx.Client, inputs: NDArray[Any], field: str, message: str
) -> None:
    status, place, said = error(client.post("/predict", json={"inputs": inputs.tolist()}))
    assert (status, place) == (422, field)
    assert message in said
    status, _, said = error(client.post("/predict", content=npy(inputs), headers={"Content-Type": "application/x-npy"}))
    assert status == 422
    assert "depth" in message or "rows" in message or message in said


def test_rows_of_one_request_agree_in_size(client: httpx.Client) -> None:
    inputs = [rows_of(1, size)[0].tolist() for size in ((8, 6), (8, 6), (12, 6))]
    status, field, message = error(client.post("/predict", json={"inputs": inputs}))
    assert (status, field) == (422, "inputs[2][0]")
    assert "expected 8 here, got 12; the rows of a request have one size, the first is [1, 8, 6]" in message


def test_pictures_of_one_request_agree_in_size(client: httpx.Client) -> None:
    files = [("inputs", ("x.png", png(rows_of(1, size)[0]), "image/png")) for size in ((8, 6), (12, 6))]
    status, field, message = error(client.post("/predict", files=files))
    assert (status, field) == (422, "inputs[1]")
    assert "the first is 6 × 8, this one 6 × 12 pixels" in message


def test_v2_names_the_axis(client: httpx.Client) -> None:
    tensor = {"name": "input", "datatype": "FP32", "shape": [1, 1, 6, 8], "data": [0] * 48}
    response = client.post("/v2/models/free/infer", json={"inputs": [tensor]})
    assert response.status_code == 400
    assert response.json()["error"] == "inputs[0].shape[2]: expected H = 4 to 32 and a multiple of 4, got 6"


def test_the_axes_are_shown(client: httpx.Client) -> None:
    (model,) = client.get("/models").json()["models"]
    assert model["inputs"][0]["shape"] == ["B", 1, "H", "W"]
    assert model["axes"] == {letter: axis.model_dump(exclude_none=True) for letter, axis in AXES.items()}
    assert client.get("/models/free/versions/1").json()["contract"]["axes"] == model["axes"]
    assert client.get("/v2/models/free").json()["inputs"] == [
        {"name": "input", "datatype": "FP32", "shape": [-1, 1, -1, -1]}
    ]
    assert client.get("/v2/models/free/config").json()["input"][0]["dims"] == [1, -1, -1]


def test_a_graph_of_fixed_size_does_not_agree(tmp_path: Path) -> None:
    model, contract = graphs.classifier(GIVEN, "abc", axes=AXES)
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 8
    artefacts.write(tmp_path, "fixed", model, contract)
    artefacts.write(tmp_path, "free", MODEL, CONTRACT)
    with serving(tmp_path) as opened:
        (version,) = opened.get("/models/fixed").json()["versions"]
    declared = "inputs.input.shape: declared ['B', 1, 'H', 'W'], the graph has ['B', 1, 8, '?']"
    assert (version["state"], version["reason"]) == ("rejected", f"contract: {declared}")

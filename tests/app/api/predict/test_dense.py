"""Models that answer for each cell: what a row's answer is, and its maps in every form."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from app.api.predict import maps
from app.api.v2 import protocol
from app.contract.calibration import Calibration, PredictionSet, Threshold
from app.contract.policy import Policy, Rule
from tests import artefacts, dense_graphs
from tests.dense_graphs import BIAS, LABELS, WEIGHT, K, N
from tests.serving import serving

SIZES = [(96, 64), (8, 16), (40, 24)]  # width, height


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dense")
    model, contract = dense_graphs.segmentation()
    calibration = Calibration(
        data="made up", rows=100, temperature=1, quantiles={"entropy": tuple(np.linspace(0, 1.1, 101).tolist())},
        thresholds=(Threshold(score="entropy", guarantee="coverage", target=0.9, value=0.5, rows=50, coverage=0.92),),
        prediction_sets=(PredictionSet(coverage=0.9, least_probability=0.2, rows=50),),
    )  # fmt: skip
    policy = Policy(rules=(Rule(action="defer", score="entropy", threshold=0.5),))
    artefacts.write(folder, "scenes", model, contract.with_head(contract.head, calibration=calibration, policy=policy))
    artefacts.write(folder, "density", *dense_graphs.density())
    artefacts.write(folder, "plain", model, contract)
    return folder


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[httpx.Client]:
    with serving(folder, max_rows=8, default_model="scenes") as opened:
        yield opened


def picture(width: int, height: int, seed: int = 0) -> NDArray[np.uint8]:
    smooth = np.linspace(0, 255, width)[None, :] * np.linspace(0.3, 1, height)[:, None]
    return (smooth * np.random.default_rng(seed).uniform(0.8, 1, (height, width))).astype(np.uint8)


def png(pixels: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def expected(pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
    """A loop over submodels, for one picture."""
    value = pixels / 255
    logits = np.stack([WEIGHT[n][:, None, None] * value + BIAS[n][:, None, None] for n in range(N)])[
        None
    ]  # [1, N, K, H, W]
    p = dense_graphs.probabilities(logits)[0]
    mean = p.mean(axis=0)
    entropy = -(mean * np.log(mean)).sum(axis=0)
    expected_entropy = -(p * np.log(p)).sum(axis=1).mean(axis=0)
    return {
        "probabilities": mean,
        "prediction": mean.argmax(axis=0),
        "entropy": entropy,
        "expected_entropy": expected_entropy,
        "mutual_information": entropy - expected_entropy,
        "energy": -np.log(np.exp(logits[0]).sum(axis=1)).mean(axis=0),
    }


def ask(client: httpx.Client, pixels: NDArray[np.uint8], accept: str = "application/json", **query: Any) -> Any:
    headers = {"Content-Type": "image/png", "Accept": accept}
    answer = client.post("/predict", params=query, content=png(pixels), headers=headers)
    assert answer.status_code == 200, answer.text
    return answer


@pytest.mark.parametrize("size", SIZES)
def test_an_answer_in_json_is_the_row_s(client: httpx.Client, size: tuple[int, int]) -> None:
    pixels = picture(*size)
    found = ask(client, pixels).json()
    wanted = expected(pixels)
    (row,) = found["predictions"]
    assert found["model"]["task"] == "classification"
    assert list(row) == ["grid", "shares", "row_scores", "percentiles", "decision"]
    assert row["grid"] == [size[1], size[0]]
    counts = np.bincount(wanted["prediction"].ravel(), minlength=K)
    np.testing.assert_allclose(row["shares"], counts / counts.sum(), atol=1e-6)
    for name in ("entropy", "expected_entropy", "mutual_information", "energy"):
        assert row["row_scores"][name] == pytest.approx(wanted[name].mean(), abs=1e-5)
    assert row["row_scores"]["confidence"] == pytest.approx(wanted["probabilities"].max(axis=0).mean(), abs=1e-5)
    assert row["percentiles"]["entropy"] == pytest.approx(wanted["entropy"].mean() / 1.1 * 100, abs=0.02)
    assert row["decision"]["action"] == ("defer" if wanted["entropy"].mean() > 0.5 else "accept")


def test_maps_come_in_json_when_they_are_asked_for(client: httpx.Client) -> None:
    pixels = picture(16, 8)
    wanted = expected(pixels)
    (row,) = ask(client, pixels, outputs="entropy,probabilities,prediction,prediction_set").json()["predictions"]
    assert list(row) == ["grid", "maps"]
    assert np.array(row["maps"]["prediction"]).tolist() == wanted["prediction"].tolist()
    np.testing.assert_allclose(row["maps"]["entropy"], wanted["entropy"], atol=1e-5)
    np.testing.assert_allclose(row["maps"]["probabilities"], wanted["probabilities"], atol=1e-5)
    inside = wanted["probabilities"] >= 0.2
    assert np.array(row["maps"]["prediction_set"]).tolist() == inside.tolist()


def test_maps_come_as_arrays(client: httpx.Client) -> None:
    pixels = np.stack([picture(40, 24, seed) for seed in range(3)])[:, None]
    stream = io.BytesIO()
    np.save(stream, pixels)
    outputs = "shares,row_scores,decision,entropy,prediction,prediction_set,submodels"
    answer = client.post(
        "/predict", params={"outputs": outputs}, content=stream.getvalue(),
        headers={"Content-Type": "application/x-npy", "Accept": "application/x-npz"},
    )  # fmt: skip
    assert answer.status_code == 200
    found = np.load(io.BytesIO(answer.content))
    wanted = [expected(one[0]) for one in pixels]
    np.testing.assert_allclose(found["entropy"], [one["entropy"] for one in wanted], atol=1e-5)
    assert found["prediction"].tolist() == [one["prediction"].tolist() for one in wanted]
    assert found["submodels"].shape == (3, N, K, 24, 40)
    assert (found["prediction_set"].dtype, found["prediction_set"].shape) == (bool, (3, K, 24, 40))
    np.testing.assert_allclose(found["row_scores.entropy"], found["entropy"].mean(axis=(1, 2)), atol=1e-6)
    assert set(found["decision"]) <= {"accept", "defer"}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("bits", [8, 16])
def test_a_score_comes_as_a_grey_picture_with_its_range(client: httpx.Client, size: tuple[int, int], bits: int) -> None:
    pixels = picture(*size)
    answer = ask(client, pixels, "image/png", outputs="entropy", bits=bits)
    assert answer.headers["content-type"] == "image/png"
    least, most = map(float, answer.headers["x-map-range"].split())
    assert (least, most) == (0, pytest.approx(np.log(K)))
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.size == size
        found = least + (most - least) * np.asarray(image).astype(np.float64) / (2**bits - 1)
    np.testing.assert_allclose(found, expected(pixels)["entropy"], atol=0.51 * most / (2**bits - 1) + 1e-6)


def test_classes_come_as_a_palette_picture_and_scores_in_colours(client: httpx.Client) -> None:
    pixels = picture(96, 64)
    with Image.open(io.BytesIO(ask(client, pixels, "image/png", outputs="prediction").content)) as image:
        assert image.mode == "P"
        assert np.asarray(image).tolist() == expected(pixels)["prediction"].tolist()
    answer = ask(client, pixels, "image/png", outputs="mutual_information", colormap="viridis")
    assert answer.headers["x-map-range"].split()[1] == str(np.log(2))
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.convert("RGB").getpixel((0, 0)) != image.convert("RGB").getpixel((48, 32))


def test_pictures_come_within_json(client: httpx.Client) -> None:
    pixels = picture(96, 64)
    (row,) = ask(client, pixels, outputs="prediction,entropy,shares", maps="png").json()["predictions"]
    assert row["maps"]["entropy"]["most"] == pytest.approx(np.log(K))
    with Image.open(io.BytesIO(base64.b64decode(row["maps"]["prediction"]["png"]))) as image:
        assert np.asarray(image).tolist() == expected(pixels)["prediction"].tolist()
    assert set(row["maps"]["prediction"]) == {"png"}


def test_numbers_are_for_each_patch_of_a_smaller_map(client: httpx.Client) -> None:
    pixels = picture(16, 8)
    (row,) = ask(client, pixels, model="density", outputs="row_prediction,row_submodels,prediction").json()[
        "predictions"
    ]
    patches = pixels.reshape(2, 4, 4, 4).mean(axis=(1, 3)) / 255
    assert row["grid"] == [2, 4]
    np.testing.assert_allclose(row["maps"]["prediction"][0], 1.5 * patches, rtol=1e-5)
    np.testing.assert_allclose(np.array(row["row_submodels"])[:, 0] * 8, np.array([1, 2]) * patches.sum(), rtol=1e-5)
    answer = ask(client, pixels, "image/png", model="density", outputs="prediction", bits=16)
    least, most = map(float, answer.headers["x-map-range"].split())
    assert (least, most) == (pytest.approx(1.5 * patches.min()), pytest.approx(1.5 * patches.max()))


def test_v2_carries_maps_as_tensors(client: httpx.Client) -> None:
    pixels = picture(40, 24)
    tensor = {"name": "input", "datatype": "UINT8", "shape": [1, 1, 24, 40], "data": pixels.ravel().tolist()}
    request = {"inputs": [tensor], "outputs": [{"name": "entropy"}, {"name": "row_entropy"}]}
    found = client.post("/v2/models/scenes/infer", json=request).json()["outputs"]
    assert [one["shape"] for one in found] == [[1, 24, 40], [1]]
    np.testing.assert_allclose(np.array(found[0]["data"]).reshape(24, 40), expected(pixels)["entropy"], atol=1e-5)
    shapes = {one["name"]: one["shape"] for one in client.get("/v2/models/scenes").json()["outputs"]}
    assert shapes["submodels"] == [-1, N, K, -1, -1]


REFUSED = [
    ({"outputs": "entropy,prediction"}, "outputs", "expected one map"),
    ({"outputs": "shares"}, "outputs", "expected one map"),
    ({}, "outputs", "expected one map"),
    ({"outputs": "probabilities"}, "outputs", "no single map"),
    ({"outputs": "entropy", "bits": 16, "colormap": "viridis"}, "bits", "expected 8"),
    ({"outputs": "entropy", "bits": 12}, "bits", "12"),
    ({"outputs": "entropy", "colormap": "jet"}, "colormap", "jet"),
    ({"outputs": "label"}, "outputs[0]", "unknown output"),
]


@pytest.mark.parametrize(("query", "field", "words"), REFUSED)
def test_what_has_no_picture_is_refused(client: httpx.Client, query: dict[str, Any], field: str, words: str) -> None:
    headers = {"Content-Type": "image/png", "Accept": "image/png"}
    answer = client.post("/predict", params=query, content=png(picture(16, 8)), headers=headers)
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["field"] == field
    assert words in error["message"]


def test_a_picture_is_of_one_row(client: httpx.Client) -> None:
    files = [("inputs", png(picture(16, 8, seed))) for seed in range(2)]
    answer = client.post("/predict", files=files, data={"outputs": "entropy"}, headers={"Accept": "image/png"})
    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == "inputs"


def test_maps_too_large_for_json_are_refused_before_they_are_computed(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maps, "MOST_NUMBERS", 8 * 16 * K)
    assert ask(client, picture(16, 8), outputs="probabilities")
    query, headers = {"outputs": "probabilities,entropy"}, {"Content-Type": "image/png"}
    answer = client.post("/predict", params=query, content=png(picture(16, 8)), headers=headers)
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["field"] == "outputs"
    for words in ("512 numbers", "application/x-npz", "image/png"):
        assert words in error["message"]


@pytest.mark.parametrize(("size", "words"), [((96, 72), "64"), ((12, 8), "multiple of 8"), ((104, 8), "96")])
def test_sizes_outside_their_axis_are_refused(client: httpx.Client, size: tuple[int, int], words: str) -> None:
    answer = client.post("/predict", content=png(picture(*size)), headers={"Content-Type": "image/png"})
    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == "inputs[0]"
    assert words in answer.json()["error"]["message"]


def test_what_rows_are_like_shows_in_metrics_and_models(client: httpx.Client) -> None:
    ask(client, picture(96, 64))
    metrics = client.get("/metrics").text
    assert 'masksembles_entropy_nats_count{head="",model="scenes",version="1"}' in metrics
    (model,) = [one for one in client.get("/models").json()["models"] if one["name"] == "scenes"]
    assert model["heads"][0]["grid"] == ["H", "W"]
    assert model["axes"]["H"] == {"least": 8, "most": 64, "multiple_of": 8}
    assert model["inputs"][0]["image"] is True
    assert model["heads"][0]["labels"] == list(LABELS)


@pytest.mark.parametrize(("model", "output"), [("density", "intervals"), ("plain", "prediction_set")])
def test_maps_that_need_a_calibration_are_null_without(client: httpx.Client, model: str, output: str) -> None:
    (row,) = ask(client, picture(16, 8), model=model, outputs=output).json()["predictions"]
    assert row["maps"] == {output: None}
    for accept, query in (("image/png", {}), ("application/json", {"maps": "png"})):
        headers = {"Content-Type": "image/png", "Accept": accept}
        asked = {"model": model, "outputs": output, **query}
        answer = client.post("/predict", params=asked, content=png(picture(16, 8)), headers=headers)
        assert (answer.status_code, answer.json()["error"]["field"]) == (422, "outputs")


def test_who_prefers_pictures_and_takes_anything_gets_json_where_there_is_none(client: httpx.Client) -> None:
    answer = ask(client, picture(16, 8), "image/avif,image/png,*/*;q=0.5")
    assert list(answer.json()["predictions"][0])[:2] == ["grid", "shares"]
    answer = ask(client, picture(16, 8), "image/avif,image/png,*/*;q=0.5", outputs="entropy")
    assert answer.headers["content-type"] == "image/png"


def test_v2_refuses_maps_too_large_for_json(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MOST_NUMBERS", 100)
    tensor = {"name": "input", "datatype": "UINT8", "shape": [1, 1, 8, 16], "data": [0] * 128}
    request: dict[str, Any] = {"inputs": [tensor], "outputs": [{"name": "entropy"}]}
    answer = client.post("/v2/models/scenes/infer", json=request)
    assert answer.status_code == 400
    assert "binary_data" in answer.json()["error"]
    request["outputs"] = [{"name": "entropy", "parameters": {"binary_data": True}}]
    assert client.post("/v2/models/scenes/infer", json=request).status_code == 200


def test_an_answer_that_no_budget_holds_is_refused_before_it_is_computed(folder: Path) -> None:
    stream = io.BytesIO()
    np.save(stream, np.zeros((8, 1, 64, 96), np.uint8))
    with serving(folder, max_rows=8, default_model="scenes", memory_budget_mb=1) as small:
        headers = {"Content-Type": "application/x-npy", "Accept": "application/x-npz"}
        answer = small.post("/predict?outputs=submodels,logits", content=stream.getvalue(), headers=headers)
        assert answer.status_code == 422
        error = answer.json()["error"]
        assert error["field"] == "outputs"
        assert "MASKSEMBLES_MEMORY_BUDGET_MB" in error["message"]
        assert small.post("/predict?outputs=shares", content=stream.getvalue(), headers=headers).status_code == 200

"""A convolutional network of free height and width, exported, served, and asked by 8 clients at once in every form."""

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from app.contract.axis import FreeAxis
from models.export import ExportOptions, export
from models.layers import Masksembles2d, submodels
from tests.serving import as_process

AXES = {"H": FreeAxis(least=8, most=96, multiple_of=4), "W": FreeAxis(least=8, most=80)}
SIZES = [(8, 8), (8, 80), (32, 33), (64, 47), (96, 80)]


def trained() -> nn.Module:
    """Tells dark from bright pictures and smooth from rough ones, whatever their size."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), Masksembles2d(8, 4, 2.0),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), Masksembles2d(16, 4, 2.0),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 3),
    )  # fmt: skip
    optimiser = torch.optim.Adam(network.parameters(), 0.01)
    for step in range(60):
        labels = torch.arange(24) % 3
        x = pictures(24, (16, 8 + step % 5 * 4), labels)
        loss = nn.functional.cross_entropy(network.train()(x), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network.eval()


def pictures(rows: int, size: tuple[int, int], labels: torch.Tensor | None = None) -> torch.Tensor:
    """Dark, bright and rough pictures, in the 256 levels of a file."""
    of = (torch.arange(rows) if labels is None else labels).reshape(-1, 1, 1, 1) % 3
    noise = torch.rand(rows, 1, *size)
    values = torch.where(of == 0, 0.3 * noise, torch.where(of == 1, 0.7 + 0.3 * noise, (noise > 0.5).float()))
    return (values * 255).round() / 255


def asked(client: httpx.Client, form: str, rows: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
    """Probabilities [B, K], those of the submodels [B, N, K] and mutual information [B]."""
    names = ("probabilities", "submodels", "mutual_information")
    if form == "v2":
        tensor = {"name": "input", "datatype": "FP32", "shape": list(rows.shape), "data": rows.ravel().tolist()}
        body = {"inputs": [tensor], "outputs": [{"name": name} for name in names]}
        found = client.post("/v2/models/free/infer", json=body).raise_for_status().json()["outputs"]
        return {one["name"]: np.array(one["data"]).reshape(one["shape"]) for one in found}
    if form == "json":
        response = client.post("/predict", json={"inputs": rows.tolist()})
    elif form == "npy":
        stream = io.BytesIO()
        np.save(stream, rows)
        response = client.post("/predict", content=stream.getvalue(), headers={"Content-Type": "application/x-npy"})
    else:
        files = [("inputs", ("x.png", _png(row), "image/png")) for row in rows]
        response = client.post("/predict", files=files)
    predictions = response.raise_for_status().json()["predictions"]
    return {
        "probabilities": np.array([row["probabilities"] for row in predictions]),
        "submodels": np.array([[one["probabilities"] for one in row["submodels"]] for row in predictions]),
        "mutual_information": np.array([row["mutual_information"] for row in predictions]),
    }


def _png(row: NDArray[np.float32]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.round(row[0] * 255).astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def expected(network: nn.Module, rows: torch.Tensor) -> dict[str, Any]:
    """From a loop over the masks, in float64 after the network."""
    with torch.no_grad():
        p = submodels(network, rows).double().softmax(-1).permute(1, 0, 2).numpy()
    mean = p.mean(axis=1)
    information = (p * (np.log(p) - np.log(mean[:, None]))).sum(axis=-1).mean(axis=1)
    return {"probabilities": mean, "submodels": p, "mutual_information": information}


def test_eight_clients_of_many_sizes_get_what_the_loop_over_the_masks_gives(tmp_path: Path) -> None:
    network = trained()
    options = ExportOptions(
        labels=["dark", "bright", "rough"], input_shape=(1, "H", "W"), axes=AXES,
        value_range=(0, 1), layout="BCHW", colour="grey",
    )  # fmt: skip
    export(network, pictures(2, (16, 24)), options, name="free", repository=tmp_path)
    given = [
        (form, pictures(rows, size)) for size in SIZES for rows in (1, 3) for form in ("json", "npy", "png", "v2")
    ] * 2
    with as_process(tmp_path) as (client, _), ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda one: asked(client, one[0], one[1].numpy()), given))
        refused = client.post("/predict", json={"inputs": np.zeros((1, 1, 30, 8)).tolist()})
    for (form, rows), found in zip(given, answers):
        for name, values in expected(network, rows).items():
            np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=1e-5, err_msg=f"{form} {list(rows.shape)}")
    assert refused.status_code == 422
    assert "expected H = 8 to 96 and a multiple of 4, got 30" in refused.json()["error"]["message"]

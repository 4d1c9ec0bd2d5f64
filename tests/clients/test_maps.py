"""Pictures of two sizes in, maps out: through both generated clients, and the same numbers through Triton's client."""

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import tritonclient.http
from numpy.typing import NDArray
from PIL import Image

from tests.clients.command import run
from tests.clients.test_python_client import SOURCES, TOOLS
from tests.clients.test_typescript_client import FOLDER, program
from tests.pictures import DATA
from tests.serving import ROOT, SHIPPED, as_process

SCENES = {"scene.png": (96, 64), "scene-large.png": (200, 120)}


@pytest.fixture(scope="module")
def service() -> Iterator[httpx.Client]:
    with as_process(ROOT / "models" / "repository", **SHIPPED) as (client, _):
        yield client


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package that openapi-python-client makes, and the application."""
    folder = tmp_path_factory.mktemp("maps")
    run(
        TOOLS / "openapi-python-client", "generate", "--path", ROOT / "app" / "openapi.json",
        "--config", SOURCES / "generator.yml", "--output-path", "masksembles_service_client", "--meta", "none",
        "--fail-on-warning", cwd=folder,
    )  # fmt: skip
    (folder / "maps.py").write_bytes((SOURCES / "maps.py").read_bytes())
    return folder


def by_triton(service: httpx.Client, picture: Path) -> dict[str, NDArray[np.float32]]:
    pixels = np.asarray(Image.open(picture))[None, None]
    given = tritonclient.http.InferInput("input", list(pixels.shape), "UINT8")
    given.set_data_from_numpy(pixels)
    names = ("prediction", "entropy", "row_entropy", "row_shares")
    with tritonclient.http.InferenceServerClient(service.base_url.netloc.decode()) as client:
        outputs = [tritonclient.http.InferRequestedOutput(name) for name in names]
        found = client.infer("scenes", [given], outputs=outputs)
    return {name: found.as_numpy(name)[0] for name in names}


@pytest.mark.parametrize("name", SCENES)
def test_a_generated_python_client_gets_maps_within_json(service: httpx.Client, package: Path, name: str) -> None:
    row = json.loads(run(TOOLS / "python", "maps.py", str(service.base_url), DATA / name, cwd=package))
    wanted = by_triton(service, DATA / name)
    width, height = SCENES[name]
    assert row["grid"] == [height, width]
    np.testing.assert_allclose(row["shares"], wanted["row_shares"], atol=1e-5)
    assert row["row_scores"]["entropy"] == pytest.approx(float(wanted["row_entropy"]), abs=1e-5)
    classes = np.asarray(Image.open(io.BytesIO(base64.b64decode(row["maps"]["prediction"]["png"]))))
    np.testing.assert_array_equal(classes, wanted["prediction"])
    entropy = row["maps"]["entropy"]
    levels = np.asarray(Image.open(io.BytesIO(base64.b64decode(entropy["png"])))).astype(np.float64)
    values = entropy["least"] + (entropy["most"] - entropy["least"]) * levels / 255
    np.testing.assert_allclose(values, wanted["entropy"], atol=0.51 * entropy["most"] / 255)


@pytest.mark.parametrize("name", SCENES)
def test_a_generated_typescript_client_gets_a_map_as_a_picture(
    service: httpx.Client, name: str, tmp_path: Path
) -> None:
    run(program("npm"), "run", "generate", cwd=FOLDER)
    build = FOLDER / "build"
    (build / "tsconfig.json").write_text('{"extends": "../tsconfig.json", "files": ["../maps.ts"]}')
    run(program("npx"), "tsc", "--project", "build", "--outDir", "build", cwd=FOLDER)
    told = run(program("node"), "build/maps.js", str(service.base_url), DATA / name, tmp_path / "map.png", cwd=FOLDER)
    least, most = map(float, told.split())
    with Image.open(tmp_path / "map.png") as image:
        assert image.size == SCENES[name]
        values = least + (most - least) * np.asarray(image).astype(np.float64) / 65535
    np.testing.assert_allclose(values, by_triton(service, DATA / name)["entropy"], atol=most / 65535 + 1e-5)

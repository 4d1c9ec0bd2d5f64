"""README's Python runs as printed. (Its `curl` and its generated clients are run in tests/e2e and tests/clients.)"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from models import artefact
from tests.pictures import pictures, readme_blocks
from tests.serving import ROOT, SHIPPED, application, as_process, in_thread


def test_the_way_from_a_network_to_the_store(tmp_path: Path) -> None:
    pixels = torch.rand(60, 3, 12, 12)
    mean, std = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)
    place: dict[str, Any] = {
        "pixels": pixels,
        "mean": mean,
        "std": std,
        "x": (pixels - torch.tensor(mean).reshape(3, 1, 1)) / torch.tensor(std).reshape(3, 1, 1),
        "labels": list("abcdefghij"),
        "held_out_pixels": pixels.numpy(),
        "held_out_labels": np.arange(60) % 10,
    }
    build, write = (block for block in readme_blocks("python") if "from models." in block)
    exec(compile(build, "README.md", "exec"), place)
    assert place["logits"].shape == (4, 60, 10)
    exec(
        compile(write.replace('name="mine"', f'name="mine", repository={str(tmp_path)!r}'), "README.md", "exec"), place
    )
    model, contract, version = artefact.read(tmp_path, "mine")
    assert version == 1
    assert contract.inputs[0].shape == ("B", 3, 12, 12)
    found = artefact.run(model, pixels.numpy(), ["logits"])["logits"]
    np.testing.assert_allclose(found.transpose(1, 0, 2), place["logits"].detach(), atol=1e-5)


def test_the_client_that_waits_while_the_service_is_full(digits_repository: Path) -> None:
    app = application(digits_repository)
    refused = []

    async def full_at_first(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and len(refused) < 2:
            refused.append(scope["path"])
            await Response(status_code=503, headers={"Retry-After": "0"})(scope, receive, send)
        else:
            await app(scope, receive, send)

    (block,) = (block for block in readme_blocks("python") if "import httpx" in block)
    with in_thread(full_at_first) as client:
        place: dict[str, Any] = {"rows": np.zeros((3, 1, 8, 8)).tolist()}
        address = str(client.base_url).rstrip("/")
        exec(compile(block.replace("http://127.0.0.1:8000", address), "README.md", "exec"), place)
    assert refused == ["/predict", "/predict"]
    assert [answer["model"]["name"] for answer in place["answers"]] == ["digits"] * 3


def test_the_client_of_the_inference_protocol() -> None:
    (block,) = (block for block in readme_blocks("python") if "tritonclient" in block)
    with as_process(ROOT / "models" / "repository", **SHIPPED) as (client, _):
        place: dict[str, Any] = {"pixels": pictures().inputs[:2]}
        address = f"{client.base_url.host}:{client.base_url.port}"
        exec(compile(block.replace("127.0.0.1:8000", address), "README.md", "exec"), place)
        place["client"].close()
    assert place["answer"].as_numpy("mutual_information").shape == (2,)


def test_its_tables_are_those_that_were_measured() -> None:
    text = (ROOT / "README.md").read_text()
    pages = sorted((ROOT / "models" / "benchmark" / "results" / "fashion-mnist").glob("*.md"))
    assert len(pages) == 5
    for page in pages:
        between = text.partition(f"<!-- {page.stem} -->\n")[2].partition(f"<!-- /{page.stem} -->")[0]
        assert between.strip() == page.read_text().strip(), page.stem

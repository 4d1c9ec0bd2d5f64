"""Examples for people, the pictures from files in the format of Fashion-MNIST."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from models.__main__ import main
from models.data import examples
from tests.models import official
from tests.serving import ROOT

SHIPPED = ROOT / "app" / "web" / "page" / "examples"


def test_the_command_writes_what_the_page_has(tmp_path: Path) -> None:
    count = examples.HARD + 1
    pixels = np.random.default_rng(0).integers(0, 256, (count, 28, 28), dtype=np.uint8)
    for part in ("t10k", "train"):
        official.fashion_mnist(tmp_path, part, pixels, (np.arange(count) % 10).astype(np.uint8))
    folder = tmp_path / "examples"
    assert main(["examples", str(folder), "--data", str(tmp_path), "--address", "page/examples/"]) == 0
    assert {path.name for path in folder.iterdir()} == {path.name for path in SHIPPED.iterdir()}
    listed = json.loads((folder / examples.FILE).read_text())
    assert listed == json.loads((SHIPPED / examples.FILE).read_text())
    for one in listed["fashion-mnist"]["pictures"]:
        with Image.open(folder / Path(one["file"]).name) as picture:
            assert picture.size == (28, 28)
    with Image.open(folder / "fashion-mnist-0.png") as hard:
        np.testing.assert_array_equal(hard, pixels[examples.HARD])

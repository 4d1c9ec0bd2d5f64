"""README's Python runs as printed. (Its `curl` and its client are run in tests/e2e and tests/clients.)"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from models import artefact
from tests.pictures import readme_blocks


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
    exec(compile(write.replace('name="mine"', f'name="mine", store={str(tmp_path)!r}'), "README.md", "exec"), place)
    model, contract, version = artefact.read(tmp_path, "mine")
    assert version == 1
    assert contract.inputs[0].shape == ("B", 3, 12, 12)
    found = artefact.run(model, pixels.numpy(), ["logits"])["logits"]
    np.testing.assert_allclose(found.transpose(1, 0, 2), place["logits"].detach(), atol=1e-5)

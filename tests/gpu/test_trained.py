"""The network of the shipped file, rebuilt in torch, is the one in the file."""

import numpy as np
import torch

from models.layers import submodels
from tests import artefacts
from tests.gpu import trained
from tests.pictures import pictures


def test_it_gives_the_logits_of_the_file() -> None:
    model, _ = artefacts.load(trained.FILE)
    rows = pictures().inputs[:16]
    expected = artefacts.run(model, rows, ["logits"])["logits"]
    with torch.no_grad():
        found = submodels(trained.rebuild(), torch.from_numpy(rows)).permute(1, 0, 2).numpy()
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())

"""The long run with reloads, in short; and that its clients see what is wrong."""

from pathlib import Path

import numpy as np
import pytest

from tests.bench import reloads, versions
from tests.bench.asking import Asker
from tests.bench.versions import Expected

ROWS = np.zeros((4, 3), np.float32)
OUTPUTS = {"probabilities": np.full((4, 2), 0.5), "entropy": np.arange(4.0)}


@pytest.mark.slow
def test_a_few_reloads(tmp_path: Path) -> None:
    found = reloads.run(tmp_path, reloads=6, clients=8, pause=1.0)
    assert found["wrong"] == []
    assert found["reloads"] == {"published": 2, "recalibrated": 3, "removed": 1}
    assert found["numbers"] > 1000
    assert {kind.split()[2] for kind in found["answers"]} == {"200"}


@pytest.mark.slow
def test_versions_differ_in_what_they_answer(tmp_path: Path) -> None:
    versions.prepare(tmp_path)
    for name in versions.NAMES:
        expected = versions.read(tmp_path, name)
        for one, other in ((1, 2), (2, 3), (1, 3)):
            assert not np.allclose(expected.of(one)["entropy"], expected.of(other)["entropy"], atol=1e-3)
        np.testing.assert_array_equal(expected.of(1)["entropy"], expected.of(4)["entropy"])


def test_a_wrong_number_or_shape_is_seen() -> None:
    asker = Asker(0, {"digits": Expected(ROWS, [OUTPUTS])}, 0)
    at = np.array([3, 1])
    asker._compare("digits:1", {"entropy": np.array([3.0, 1.0]), "confidence": np.array([0.5, 0.5])}, OUTPUTS, at)
    assert asker.wrong == []
    asker._compare("digits:1", {"entropy": np.array([3.0, 1.001])}, OUTPUTS, at)
    asker._compare("digits:1", {"entropy": np.array([3.0])}, OUTPUTS, at)
    asker._compare("digits:1", {}, OUTPUTS, at)
    assert asker.wrong == [
        "digits:1 answered entropy[1] 1.001, expected 1.0",
        "digits:1 answered entropy [1], expected [2]",
        "digits:1 answered nothing",
    ]

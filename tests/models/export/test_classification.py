"""The scores of a classifier's graph where logits are extreme; other numbers are tested in test_pipeline."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from models import runtime
from models.export import ExportOptions, export
from models.export.heads import TASKS
from models.export.options import HeadOptions
from models.export.verification.classification import classifier_reference


@pytest.mark.parametrize("size", [1.0, 30.0, 1e4])
def test_the_scores_stay_sound_for_extreme_logits(size: float) -> None:
    logits = torch.randn(3, 50, 7) * size
    logits[:, 0] = 0  # uniform
    logits[:, 1] = logits[:1, 1]  # identical submodels
    logits[:, 2] = torch.eye(7)[:3] * size  # each sure of another class
    task = TASKS["classification"]
    head = task.head("", 7, (), HeadOptions(labels="abcdefg"))
    outputs = task.outputs(head, logits.reshape(150, 7), 3, torch.ones(()))
    found = {tensor.name: values.numpy() for tensor, values in zip(head.outputs, outputs, strict=True)}
    expected = classifier_reference(logits.permute(1, 0, 2).numpy(), 1.0)
    for name in ("probabilities", "submodels", "entropy", "expected_entropy", "mutual_information", "energy"):
        np.testing.assert_allclose(found[name], expected[name], atol=3e-6, rtol=1e-5, err_msg=name)
    assert (found["mutual_information"] >= 0).all()
    assert (found["mutual_information"].astype(np.float64) <= np.log(3)).all()
    assert found["mutual_information"][1] == pytest.approx(0, abs=1e-7)
    assert found["entropy"][0] == pytest.approx(np.log(7))
    assert (found["entropy"].astype(np.float64) <= np.log(7)).all()


@pytest.mark.parametrize("size", [1.0, 30.0, 1e4, 3e37])
def test_a_map_is_as_sound_as_a_row(size: float) -> None:
    task = TASKS["classification"]
    row, dense = (task.head("", 7, grid, HeadOptions(labels="abcdefg")) for grid in ((), (5, 10)))
    cells = torch.randn(3, 7, 50) * size
    cells[:, :, 0] = 0
    cells[:, :, 1] = torch.eye(7)[:3] * size
    one = torch.ones(())
    rows = task.outputs(row, cells.permute(0, 2, 1).reshape(150, 7), 3, one)  # each cell as a row
    maps = task.outputs(dense, cells.reshape(3, 7, 5, 10), 3, one)
    of_rows = {tensor.name: values for tensor, values in zip(row.outputs, rows, strict=True)}
    of_maps = {tensor.name: values[0] for tensor, values in zip(dense.outputs, maps, strict=True)}
    for name, values in of_rows.items():
        assert of_maps[name].isfinite().all()
        as_rows = of_maps[name].flatten(-2).movedim(-1, 0)
        torch.testing.assert_close(as_rows, values, rtol=1e-5, atol=2e-6 * max(1, size if name in LARGE else 1))
    assert (of_maps["row_shares"].sum() - 1).abs() < 1e-6


LARGE = ("logits", "energy")


def test_onnxruntime_answers_extreme_logits(tmp_path: Path) -> None:
    network = nn.Linear(3, 3, bias=False)
    network.weight.data = torch.eye(3)
    path = export(network, torch.rand(2, 3), ExportOptions(labels="abc"), name="wide", repository=tmp_path)
    model = onnx.load(path)
    x = np.array([[1e4, -1e4, 0], [0, 0, 0], [3e37, 0, -3e37], [0, -1e4, -1e4]], np.float32)
    found = runtime.run(model, x, ["probabilities", "entropy", "expected_entropy", "mutual_information", "energy"])
    assert all(np.isfinite(values).all() for values in found.values())
    certain = [1.0, 0.0, 0.0]
    np.testing.assert_allclose(found["probabilities"], [certain, [1 / 3] * 3, certain, certain], atol=1e-6)
    np.testing.assert_allclose(found["entropy"], [0, np.log(3), 0, 0], atol=1e-6)
    for name in ("entropy", "expected_entropy", "mutual_information", "energy"):
        assert found[name][3] == 0
        assert not np.signbit(found[name][found[name] == 0]).any(), name  # JSON would show -0.0

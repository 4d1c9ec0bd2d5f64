from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from models import artefact, runtime
from models.data import Split
from models.export import ExportOptions, export
from models.layers import DeepEnsemble, Masksembles1d, count, submodels
from tests.models.labelled import labels_of
from tests.once import Once

LABELS = ["a", "b", "c"]


def networks(number: int = 3) -> list[nn.Module]:
    return [nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3)).eval() for _ in range(number)]


@pytest.fixture(scope="module")
def members() -> list[nn.Module]:
    torch.manual_seed(0)
    return networks()


@pytest.fixture(scope="module")
def exported(members: list[nn.Module], once: Once) -> Path:
    options = ExportOptions(labels=LABELS)
    return once(
        "ensemble",
        lambda repository: export(members, torch.rand(2, 6), options, name="ensemble", repository=repository),
    )


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_every_network_is_a_submodel(exported: Path, members: list[nn.Module], batch: int) -> None:
    model, _, _ = artefact.read(exported, "ensemble")
    rows = torch.randn(batch, 6)
    found = runtime.run(model, rows.numpy(), ["submodels", "probabilities"])
    with torch.no_grad():
        expected = torch.stack([member(rows).softmax(dim=-1) for member in members], dim=1)
    np.testing.assert_allclose(found["submodels"], expected, atol=1e-6)
    np.testing.assert_allclose(found["probabilities"], expected.mean(dim=1), atol=1e-6)


def test_the_contract_tells_that_nothing_is_shared(exported: Path) -> None:
    _, contract, _ = artefact.read(exported, "ensemble")
    assert (contract.method, contract.num_submodels, contract.masks) == ("deep-ensemble", 3, None)
    assert contract.compilation is not None
    assert contract.compilation.macs == 3 * contract.compilation.macs_single == 3 * (6 * 16 + 16 * 3)
    assert "share nothing" in (contract.compilation.reason or "")
    assert artefact.read_plans(exported, "ensemble", 1) == {}


def test_it_is_calibrated_as_one_model(members: list[nn.Module], rows: Split, tmp_path: Path) -> None:
    inputs = torch.from_numpy(rows.inputs)
    rows = Split(rows.inputs, labels_of(submodels(DeepEnsemble(members).eval(), inputs)))
    options = ExportOptions(labels=LABELS, calibration=rows, data="rows")
    export(members, inputs[:2], options, name="e", repository=tmp_path)
    _, contract, _ = artefact.read(tmp_path, "e")
    assert contract.head.calibration is not None
    assert contract.head.calibration.rows == len(rows)


def test_float16(members: list[nn.Module], tmp_path: Path) -> None:
    path = export(
        members, torch.rand(2, 6), ExportOptions(labels=LABELS, precision="float16"), name="e", repository=tmp_path
    )
    assert path.stat().st_size < 20_000


def test_what_is_no_deep_ensemble_says_why(members: list[nn.Module], tmp_path: Path) -> None:
    masked = nn.Sequential(nn.Linear(6, 16), Masksembles1d(16, 4, 2.0), nn.Linear(16, 3))
    for networks, fields, why in (
        (members[:1], {}, "at least 2 networks, got 1"),
        ([], {}, "at least 2 networks, got 0"),
        ([members[0], masked], {}, r"network\[1\] has Masksembles layers"),
        (members, {"mc_dropout": 4}, "mc_dropout: a deep ensemble"),
        (members, {"plan": "branches"}, "share nothing"),
        ([members[0], nn.Linear(6, 4)], {}, "to give as many numbers"),
    ):
        options = ExportOptions(labels=LABELS, **fields)
        with pytest.raises(ValueError, match=why):
            export(networks, torch.rand(2, 6), options, name="e", repository=tmp_path)
    assert not list(tmp_path.iterdir())


def test_submodels_runs_every_member(members: list[nn.Module]) -> None:
    ensemble = DeepEnsemble(members).eval()
    rows = torch.randn(5, 6)
    assert count(ensemble) == 3
    torch.testing.assert_close(submodels(ensemble, rows), torch.stack([member(rows) for member in members]))
    with pytest.raises(RuntimeError, match="submodels"):
        ensemble(rows)

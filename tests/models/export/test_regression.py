"""Regressors from network to file: what is in the graph, and what their intervals keep."""

from pathlib import Path
from typing import get_args

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from app.contract import schema
from app.contract.reader import read as read_contract
from app.contract.tasks import regression
from app.contract.tasks.regression import RegressionEvaluation
from app.engine.verifier import verify as service_verifies
from models import artefact, runtime
from models.data import Dataset, DatasetError, Split
from models.evaluation.calibration import calibrate
from models.evaluation.evaluation import evaluate
from models.evaluation.policy_outcome import apply_policy
from models.evaluation.respondent import Respondent
from models.export import ExportOptions, export
from models.export.verification import VerificationError, verify
from models.layers import Masksembles1d
from models.networks.gaussian import Gaussian
from models.training.recipe import Recipe
from models.training.trainer import load as load_checkpoint
from models.training.trainer import train
from tests.once import Once

TARGETS = (("length", "mm"), ("offset", "m"))


def drawn(rows: int, seed: int) -> Split:
    """Two curves, one of them in large numbers, with noise that grows along x."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-2, 2, (rows, 3))
    noise = rng.normal(0, 1, (rows, 2)) * (0.1 + 0.2 * (x[:, :1] + 2))
    y = np.stack([5000 + 1000 * np.sin(x[:, 0]), x[:, 1] * x[:, 2]], axis=1) + noise * [1000, 1]
    return Split(x.astype(np.float32), y.astype(np.float32))


@pytest.fixture(scope="module")
def data() -> Dataset:
    return Dataset(
        name="curves",
        classes=(),
        targets=TARGETS,
        train=drawn(1000, 0),
        calibration=drawn(2000, 1),
        test=drawn(2000, 2),
        value_range=(-2.0, 2.0),
        unit="coordinate",
        layout="",
    )


@pytest.fixture(scope="module")
def network(data: Dataset, once: Once) -> nn.Module:
    recipe = Recipe(
        data="curves", network="mlp", input_shape=(3,), classes=2, task="regression", submodels=3, align=1,
        options={"hidden": [32, 32]}, epochs=10, batch_size=32, learning_rate=1e-2,
    )  # fmt: skip
    folder = once("curves-network", lambda folder: train(recipe, data, folder / "curves.pt", progress=False))
    return load_checkpoint(folder / "curves.pt")[1]


@pytest.fixture(scope="module")
def repository(data: Dataset, network: nn.Module, once: Once) -> Path:
    return once("curves", lambda repository: _export_curves(data, network, repository))


def _export_curves(data: Dataset, network: nn.Module, repository: Path) -> None:
    export(
        network,
        torch.from_numpy(data.test.inputs[:2]),
        ExportOptions(
            targets=data.targets,
            calibration=data.calibration,
            evaluation=data.test,
            data="curves",
            value_range=data.value_range,
            unit=data.unit,
            policy="reject mutual_information>c99, defer entropy>c90",
            plan="branches",
        ),
        name="curves",
        repository=repository,
    )


def test_the_contract_is_that_of_a_regressor_and_the_service_takes_it(repository: Path) -> None:
    _, contract, version = artefact.read(repository, "curves")
    assert (contract.head.task, contract.method, contract.num_submodels) == ("regression", "masksembles", 3)
    assert contract.head.labels == ()
    assert [(target.name, target.unit) for target in contract.head.targets] == list(TARGETS)
    assert contract.head.outputs == regression.outputs(aleatoric=True)
    assert read_contract(contract.model_dump_json(exclude_none=True)) == contract
    paths = sorted((repository / "curves" / str(version)).iterdir())
    assert [path.name for path in paths] == ["model.cpu.onnx", "model.onnx"]
    assert all(verdict.rejected is None for verdict in service_verifies(paths).values())


def test_outputs_are_the_moments_of_the_mixture(repository: Path, data: Dataset) -> None:
    model, contract, _ = artefact.read(repository, "curves")
    found = runtime.run(model, data.test.inputs[:50], [tensor.name for tensor in contract.outputs])
    means, variances = found["submodels"].astype(np.float64), found["submodel_variances"].astype(np.float64)
    rng = np.random.default_rng(0)
    chosen = rng.integers(0, 3, 20_000)
    samples = rng.normal(means[:, chosen], np.sqrt(variances[:, chosen]))
    np.testing.assert_allclose(found["prediction"], samples.mean(axis=1), atol=0.05 * samples.std(axis=1).max())
    np.testing.assert_allclose(found["variance"], samples.var(axis=1), rtol=0.1)
    np.testing.assert_allclose(found["variance"], found["aleatoric_variance"] + found["epistemic_variance"], rtol=1e-6)
    of_normal = 0.5 * np.log(2 * np.pi * np.e * found["variance"].astype(np.float64)).sum(axis=-1)
    np.testing.assert_allclose(found["entropy"], of_normal, rtol=1e-5)
    difference = found["entropy"] - found["expected_entropy"]
    np.testing.assert_allclose(found["mutual_information"], difference, atol=1e-5)
    assert found["mutual_information"].min() >= 0
    assert found["mutual_information"].max() > 1e-3


def test_coverages_that_are_asked_for_are_those_of_intervals_too(repository: Path, data: Dataset) -> None:
    model, contract, _ = artefact.read(repository, "curves")
    found = calibrate(model, contract, contract.head, "curves", data.calibration, coverages=(0.7, 0.97))
    assert [one.coverage for one in found.intervals] == [0.7, 0.97]
    assert {one.target for one in found.thresholds} == {0.7, 0.97}
    with pytest.raises(ValueError, match="risks: a regressor's answers are neither right nor wrong"):
        calibrate(model, contract, contract.head, "curves", data.calibration, risks=(0.1,))


def test_intervals_hold_as_many_fresh_values_as_guaranteed(repository: Path) -> None:
    model, contract, _ = artefact.read(repository, "curves")
    assert contract.head.calibration is not None
    assert [one.coverage for one in contract.head.calibration.intervals] == [0.5, 0.8, 0.9, 0.95]
    fresh = drawn(4000, 3)
    figures = evaluate(model, contract, contract.head, "fresh", fresh)
    assert isinstance(figures, RegressionEvaluation)
    assert list(figures.coverage) == ["50", "80", "90", "95"]
    for one in contract.head.calibration.intervals:
        error = np.sqrt(one.coverage * (1 - one.coverage) * (1 / one.rows + 1 / len(fresh)))
        for share in figures.coverage[f"{100 * one.coverage:g}"]:
            assert abs(share - one.coverage) < 4 * error
    assert figures.width["50"] < figures.width["95"]
    found = runtime.run(model, fresh.inputs, ["prediction"])["prediction"]
    assert figures.rmse == pytest.approx(np.sqrt(((found - fresh.labels) ** 2).mean(axis=0)), rel=1e-5)
    assert figures.nll is not None
    assert figures.nll < 10  # of the two targets without a network: 12


def test_a_policy_of_coverage_rejects_and_defers_as_few_as_guaranteed(repository: Path) -> None:
    model, contract, _ = artefact.read(repository, "curves")
    found = apply_policy(contract.head, Respondent(model, contract, contract.head).answer(drawn(4000, 3)))
    assert found.share("reject") < 0.01 + 0.012
    assert found.share("defer") < 0.1 + 0.03
    assert (found.errors[found.accepted()].mean(axis=0) < found.errors.mean(axis=0)).all()
    assert found.sets == {}


def test_recalibrating_a_wrong_variance_finds_it(repository: Path, data: Dataset) -> None:
    model, contract, _ = artefact.read(repository, "curves")
    assert contract.head.calibration is not None
    means = runtime.run(model, data.calibration.inputs, ["prediction"])["prediction"]
    wider = Split(data.calibration.inputs, means + 2 * (data.calibration.labels - means))
    found = calibrate(model, contract, contract.head, "wider", wider)
    assert found.temperature == pytest.approx(4 * contract.head.calibration.temperature, rel=0.2)
    assert found.nll_after < found.nll_before
    assert found.rows == 2000
    again = calibrate(model, contract, contract.head, "wider", wider)
    assert again == found  # whatever the temperature was before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "aleatoric"),
    [*((each, True) for each in get_args(schema.Method)), ("single", False), ("masksembles", False)],
)
def test_every_method_is_exported_and_verified(method: str, aleatoric: bool, data: Dataset, tmp_path: Path) -> None:
    def network() -> nn.Module:
        between = {"mc-dropout": nn.Dropout(0.2), "masksembles": Masksembles1d(16, 3, 2.0)}.get(method, nn.Identity())
        body = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), between, nn.Linear(16, 4 if aleatoric else 2))
        if not aleatoric:
            return body
        made = Gaussian(body, 2, (3,))
        made.fit(torch.from_numpy(data.train.inputs), torch.from_numpy(data.train.labels))
        return made

    options = ExportOptions(
        targets=TARGETS,
        calibration=data.calibration,
        evaluation=data.test,
        mc_dropout=4 if method == "mc-dropout" else None,
    )
    path = export(
        [network(), network()] if method == "deep-ensemble" else network(),
        torch.from_numpy(data.test.inputs[:2]),
        options,
        name="curves",
        repository=tmp_path,
    )
    model, contract, _ = artefact.read(tmp_path, "curves")
    assert contract.method == method
    assert contract.num_submodels == {"single": 1, "mc-dropout": 4, "masksembles": 3, "deep-ensemble": 2}[method]
    assert contract.head.has_temperature == aleatoric == ("temperature" in {x.name for x in model.graph.initializer})
    assert service_verifies([path])[path].rejected is None
    assert isinstance(contract.head.evaluation, RegressionEvaluation)
    assert contract.head.calibration is not None
    intervals = {one.coverage: one for one in contract.head.calibration.intervals}
    found = runtime.run(model, data.test.inputs, ["variance", "submodels", "prediction"])
    if method == "single" and not aleatoric:
        assert not intervals
        assert not found["variance"].any()
        np.testing.assert_array_equal(found["prediction"], found["submodels"][:, 0])
    else:
        assert 0.85 < contract.head.evaluation.coverage["90"][0] < 0.95
    assert (contract.head.evaluation.nll is None) == (not aleatoric)
    assert set(contract.head.calibration.quantiles) == set(contract.head.scores)
    assert (contract.head.calibration.nll_before is None) == (not aleatoric)


def _warmer(contract: schema.Contract) -> schema.Contract:
    assert contract.head.calibration is not None
    changed = {"temperature": contract.head.calibration.temperature * 1.001}
    return contract.with_head(contract.head, calibration=contract.head.calibration.model_copy(update=changed))


def test_an_artefact_of_another_network_is_found_out(repository: Path, data: Dataset, network: nn.Module) -> None:
    model, contract, _ = artefact.read(repository, "curves")
    rows = torch.from_numpy(data.test.inputs[:16])
    assert verify(model, contract, network, rows) <= 1
    with pytest.raises(VerificationError, match="variance at batch size 1 differs"):
        verify(model, _warmer(contract), network, rows)
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    (bias,) = (x for x in changed.graph.initializer if x.name.endswith("mean") and list(x.dims) == [2])
    bias.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(bias) * np.float32(1.0005), bias.name))
    with pytest.raises(VerificationError, match="prediction at batch size 1 differs"):
        verify(changed, contract, network, rows)


def test_rows_that_do_not_fit_are_named(repository: Path, data: Dataset) -> None:
    model, contract, _ = artefact.read(repository, "curves")
    x, y = data.test.inputs, data.test.labels
    for split, message in (
        (Split(x, y[:, 0]), r"true values \[2000, 2\], one for each row and target, got float32 \[2000\]"),
        (Split(x, y[:100]), r"got float32 \[100, 2\]"),
        (Split(x, y.astype(np.int64)), "got int64"),
        (Split(x, np.where(y > 6000, np.nan, y)), r"labels\[\d+\]\[0\]: expected finite numbers, got nan"),
        (Split(x[:0], y[:0]), "no rows"),
        (Split(x * 2, y), r"inputs\[\d+\]\[\d\]: expected values in \[-2, 2\]"),
    ):
        with pytest.raises(DatasetError, match=message):
            evaluate(model, contract, contract.head, "mine", split)


def test_what_is_no_regressor_is_refused(tmp_path: Path) -> None:
    x = torch.rand(2, 3)
    for arguments, message in (
        ({"targets": TARGETS, "labels": ["a", "b"]}, "labels, targets: give one of the two"),
        ({}, "labels, targets: give one of the two"),
        ({"targets": TARGETS}, "targets: the network gives 3 numbers, expected a mean for each of the 2 targets"),
        ({"targets": TARGETS, "precision": "float16"}, "precision: a regressor's numbers stay in float32"),
        ({"targets": [("y", "m")] * 3, "policy": "defer entropy>1"}, "the model has no score 'entropy'; it has none"),
        ({"targets": [("y", "m")] * 3, "policy": "defer"}, "expected ACTION SCORE>THRESHOLD"),
    ):
        with pytest.raises(ValueError, match=message):
            export(nn.Linear(3, 3), x, ExportOptions(**arguments), name="mine", repository=tmp_path)
    assert not list(tmp_path.iterdir())

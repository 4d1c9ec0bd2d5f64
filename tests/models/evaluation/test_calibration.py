import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import softmax

from app.contract.calibration import Threshold
from models import artefact, runtime
from models.__main__ import main
from models.data import Dataset, DatasetError, Split
from models.data.dataset import shuffled
from models.evaluation.calibration import calibrate
from models.evaluation.likelihood import fit_temperature, fit_variance_factor
from models.export import ExportOptions, export
from tests.models.labelled import labels_of
from tests.models.lazy import Lazily


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_recovers_a_known_temperature(temperature: float) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (20_000, 4, 5))
    probabilities = softmax(logits, axis=-1).mean(axis=1)
    labels = (probabilities.cumsum(axis=-1) > rng.random((len(logits), 1))).argmax(axis=-1)
    assert fit_temperature(logits * temperature, labels) == pytest.approx(temperature, rel=0.05)


def test_extreme_logits_stay_within_bounds() -> None:
    logits = np.array([[[1e4, -1e4]], [[-1e4, 1e4]]])
    assert 0.05 <= fit_temperature(logits, np.array([0, 1])) <= 20
    assert fit_temperature(logits, np.array([1, 0])) == pytest.approx(20, rel=0.01)


@pytest.mark.parametrize("factor", [0.25, 1.0, 9.0])
def test_recovers_a_known_factor_on_variances(factor: float) -> None:
    rng = np.random.default_rng(0)
    means, variances = rng.normal(0, 1, (20_000, 3, 2)), rng.gamma(2, 1, (20_000, 3, 2))
    rows, chosen = np.arange(len(means)), rng.integers(0, 3, len(means))
    truth = rng.normal(means[rows, chosen], np.sqrt(factor * variances[rows, chosen]))
    assert fit_variance_factor(truth, means, variances) == pytest.approx(factor, rel=0.05)


def test_sets_the_temperature_in_the_graph(digits_repository: Path, digits: Dataset) -> None:
    model, contract, _ = artefact.read(digits_repository, "digits")
    halved = Split(digits.calibration.inputs[:150], digits.calibration.labels[:150])
    found = calibrate(model, contract, contract.head, "half", halved)
    assert found.rows == 150
    assert found.temperature != contract.head.temperature
    outputs = runtime.run(model, halved.inputs, ["probabilities", "logits", "entropy"])
    expected = softmax(outputs["logits"].astype(np.float64) / found.temperature, axis=-1).mean(axis=1)
    np.testing.assert_allclose(outputs["probabilities"], expected, atol=1e-6)
    assert found.nll_after <= found.nll_before
    table = found.quantiles["entropy"]
    assert table[50] == pytest.approx(np.median(outputs["entropy"]), rel=1e-5)
    assert (table[0], table[-1]) == pytest.approx((outputs["entropy"].min(), outputs["entropy"].max()), rel=1e-5)
    assert all(list(values) == sorted(values) for values in found.quantiles.values())


def test_labels_beyond_the_classes_are_named(tiny_repository: Path, rows: Split) -> None:
    model, contract, _ = artefact.read(tiny_repository, "tiny")
    with pytest.raises(DatasetError, match=r"labels\[\d+\]: expected 0 to 2 for the model's 3 classes, got 3"):
        calibrate(model, contract, contract.head, "mine", Split(rows.inputs, rows.labels + 1))


def test_rows_that_do_not_fit_the_contract_are_named(digits_repository: Path, digits: Dataset) -> None:
    model, contract, _ = artefact.read(digits_repository, "digits")
    x, y = digits.calibration.inputs, digits.calibration.labels
    for split, message in (
        (Split(x[:0], y[:0]), "no rows"),
        (Split(x, y[:200]), r"one class index for each of the 300 rows, got \[200\]"),
        (Split(x, y.astype(np.float64)), "one class index for each row, got float64"),
        (Split(torch.from_numpy(x), y), "inputs: expected a NumPy array, got Tensor"),
        (Split(x * 255, y), r"expected values in \[0, 1\] \(grey value\), got"),
        (Split(np.where(x > 0.5, np.nan, x).astype(np.float32), y), r"expected values in \[0, 1\] .*, got nan"),
        (Split(x[:, 0], y), r"expected float32 \['B', 1, 8, 8\], got float32 \[300, 8, 8\]"),
        (Split((x * 255).astype(np.uint8), y), r"got uint8 \[300, 1, 8, 8\]"),
    ):
        with pytest.raises(DatasetError, match=message):
            calibrate(model, contract, contract.head, "mine", split)


def test_one_half_of_the_rows_fits_and_the_other_one_guarantees(digits_repository: Path, digits: Dataset) -> None:
    model, contract, _ = artefact.read(digits_repository, "digits")
    x, y = digits.calibration.inputs, digits.calibration.labels
    order = shuffled(len(y), seed=0)
    found = calibrate(model, contract, contract.head, "digits", Split(x, y), coverages=(0.8, 0.95), risks=(0.2,))
    fitting, rest = order[::2], order[1::2]
    logits = runtime.run(model, x[fitting], ["logits"])["logits"]
    assert found.temperature == pytest.approx(fit_temperature(logits, y[fitting]), rel=1e-6)
    outputs = runtime.run(model, x[rest], ["probabilities", "entropy", "prediction"])
    assert {(one.score, one.guarantee, one.target) for one in found.thresholds} >= {
        (score, guarantee, target)
        for score in contract.head.scores
        for guarantee, target in (("coverage", 0.8), ("coverage", 0.95), ("risk", 0.2))
    }
    (eighty,) = (one for one in found.thresholds if (one.score, one.target) == ("entropy", 0.8))
    assert eighty.value == pytest.approx(np.sort(outputs["entropy"])[121 - 1], rel=1e-6)  # ⌈151 · 0.8⌉
    within = outputs["entropy"] <= eighty.value
    wrong = outputs["prediction"] != y[rest]
    assert (eighty.rows, eighty.coverage) == (150, within.mean())
    assert eighty.risk == wrong[within].mean()
    truth = np.sort(outputs["probabilities"][np.arange(150), y[rest]])[::-1]
    assert [one.coverage for one in found.prediction_sets] == [0.8, 0.95]
    assert found.prediction_sets[0].least_probability == pytest.approx(truth[121 - 1], rel=1e-6)
    assert found.prediction_sets[1].least_probability == pytest.approx(truth[144 - 1], rel=1e-6)  # ⌈151 · 0.95⌉


def test_what_few_rows_cannot_guarantee_is_left_out(digits_repository: Path, digits: Dataset) -> None:
    model, contract, _ = artefact.read(digits_repository, "digits")
    for rows, coverages in ((10, []), (20, [0.9]), (100, [0.9, 0.95])):
        few = Split(digits.calibration.inputs[:rows], digits.calibration.labels[:rows])
        found = calibrate(model, contract, contract.head, "few", few)
        assert [one.coverage for one in found.prediction_sets] == coverages
        assert [one.target for one in found.thresholds if _of(one, "energy", "coverage")] == coverages
        assert not [one for one in found.thresholds if one.guarantee == "risk" and one.target < 0.05]


def _of(one: Threshold, score: str, guarantee: str) -> bool:
    return (one.score, one.guarantee) == (score, guarantee)


def test_inputs_that_are_read_when_they_are_needed(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    inputs, network = rng.integers(0, 256, (600, 6), np.uint8), torch.nn.Linear(6, 3)
    labels = labels_of(network(torch.from_numpy(inputs) / 255)[None])
    export(
        network,
        torch.from_numpy(inputs[:2]),
        ExportOptions(labels=["a", "b", "c"]),
        name="bytes",
        repository=tmp_path,
    )
    model, contract, _ = artefact.read(tmp_path, "bytes")
    lazy = Lazily(inputs)
    assert calibrate(model, contract, contract.head, "lazy", Split(lazy, labels)) == calibrate(
        model, contract, contract.head, "lazy", Split(inputs, labels)
    )
    assert 0 < lazy.most_at_once <= 256
    with pytest.raises(DatasetError, match=r"expected uint8 \['B', 6\], got uint8 \[600, 5\]"):
        calibrate(model, contract, contract.head, "lazy", Split(Lazily(inputs[:, :5]), labels))


def test_a_policy_is_part_of_a_new_version(
    digits_repository: Path, digits: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, contract, _ = artefact.read(digits_repository, "digits")
    artefact.embed(model, contract)
    artefact.write(model, tmp_path, "digits")
    rules, repository = "reject energy>c99, defer entropy>r10, defer confidence<p5", ["--repository", str(tmp_path)]
    assert main(["calibrate", "digits:1", "--policy", rules, *repository]) == 0
    found = artefact.read(tmp_path, "digits", 2)[1].head
    assert found.policy is not None
    assert found.calibration is not None
    energy, entropy, confidence = found.policy.rules
    guaranteed = {(one.score, one.guarantee, one.target): one.value for one in found.calibration.thresholds}
    assert (energy.action, energy.threshold) == ("reject", guaranteed["energy", "coverage", 0.99])
    assert (entropy.action, entropy.threshold) == ("defer", guaranteed["entropy", "risk", 0.1])
    assert confidence.threshold == found.calibration.quantiles["confidence"][5]
    for wanted, message in (
        ([], "give --policy anew, or --policy none"),
        (["--policy", "defer entropy>c42"], "guarantees no c42 of 'entropy'; it has c90, c95, c99, r"),
        (["--policy", "defer doubt>1"], "unknown score 'doubt'"),
    ):
        assert main(["calibrate", "digits:2", *wanted, *repository]) == 1
        assert message in capsys.readouterr().err
    assert main(["calibrate", "digits:2", "--policy", "none", *repository]) == 0
    assert artefact.read(tmp_path, "digits", 3)[1].head.policy is None
    assert main(["evaluate", "digits:2", "--corruptions", *repository]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("policy: ") for line in lines) == 6
    assert sum(line.startswith("95 % prediction sets: contain ") for line in lines) == 6
    assert [line for line in lines if line.startswith("corrupted, severity 5: error 0.")]


def test_what_rows_can_hardly_bear_is_in_the_file_and_told(
    digits_repository: Path,
    digits: Dataset,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(digits_repository, tmp_path / "repository")
    repository, rows = ["--repository", str(tmp_path / "repository")], tmp_path / "rows.npz"

    def calibrate_on(chosen: NDArray[np.bool_], labels: NDArray[np.int64] = digits.calibration.labels) -> int:
        np.savez(rows, inputs=digits.calibration.inputs[chosen], labels=labels[chosen])
        return main(["calibrate", "digits:1", "--policy", "none", "--data", str(rows), *repository])

    assert artefact.read(tmp_path / "repository", "digits", 1)[1].warnings == ()
    labels, order = digits.calibration.labels, np.arange(300)
    assert calibrate_on((labels != 3) & (order < 60)) == 0
    few, missing, *_ = artefact.read(tmp_path / "repository", "digits", 2)[1].warnings
    assert few.startswith("calibrated on 5")
    assert "no row of the calibration is of the class '3' (1 of 10 classes)" in missing
    assert f"calibrate: {missing}" in caplog.messages
    for chosen, given, message in (
        (order < 5, labels, "5 rows cannot fit a scale"),
        (labels == 3, labels, "are of the class '3': give rows of all classes"),
        (order < 300, labels[::-1], "fit the answers no better than in random order"),
    ):
        assert calibrate_on(chosen, given) == 1
        assert message in capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / "repository" / "digits").iterdir()) == ["1", "2"]

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_calibration_error

from app.contract.policy import parse, resolve
from models import artefact, evaluation, runtime
from models.data import Dataset, Split
from models.data.corrupted import generated
from models.data.corruptions import KINDS, corrupt
from models.evaluation.calibration import calibrate
from models.evaluation.evaluation import evaluate
from models.evaluation.likelihood import log_mixture
from models.evaluation.metrics import top_calibration_error
from models.evaluation.policy_outcome import PolicyOutcome, apply_policy, check_images, join
from models.evaluation.respondent import Respondent


def test_calibrating_and_evaluating_need_no_torch() -> None:
    folder = Path(evaluation.__path__[0])
    modules = ["models.__main__", *(".".join(path.relative_to(folder.parents[1]).with_suffix("").parts)
                                    for path in folder.rglob("*.py"))]  # fmt: skip
    assert len(modules) > 10
    code = f"import {', '.join(modules)}, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=folder.parents[1], check=False).returncode == 0


def test_calibration_error_is_that_of_torchmetrics() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.full(4, 0.5), 3000)
    labels = rng.integers(0, 4, 3000)
    expected = multiclass_calibration_error(torch.from_numpy(probabilities), torch.from_numpy(labels), 4, n_bins=15)
    found = top_calibration_error(probabilities.max(-1), probabilities.argmax(-1) == labels)
    assert found == pytest.approx(float(expected), abs=1e-6)


def test_figures_are_those_of_the_served_outputs(digits_repository: Path, digits: Dataset) -> None:
    model, contract, _ = artefact.read(digits_repository, "digits")
    found = evaluate(model, contract, contract.head, "digits", digits.test)
    assert found == contract.head.evaluation
    outputs = runtime.run(model, digits.test.inputs, ["probabilities", "submodels", "logits"])
    probabilities, labels = torch.from_numpy(outputs["probabilities"]), torch.from_numpy(digits.test.labels)
    accuracy = multiclass_accuracy(probabilities, labels, 10, average="micro")
    assert found.accuracy == pytest.approx(float(accuracy))
    assert found.nll == pytest.approx(float(F.nll_loss(probabilities.log(), labels)), rel=1e-5)
    uncalibrated = torch.from_numpy(outputs["logits"]).softmax(-1).mean(1)
    expected = multiclass_calibration_error(uncalibrated, labels, 10, n_bins=15)
    assert found.ece_uncalibrated == pytest.approx(float(expected), abs=1e-6)
    assert found.submodel_accuracy[2] == pytest.approx(
        (outputs["submodels"][:, 2].argmax(-1) == digits.test.labels).mean()
    )


def test_the_density_of_a_mixture_is_that_of_torch() -> None:
    rng = np.random.default_rng(0)
    truth, means, variances = rng.normal(size=(20, 2)), rng.normal(size=(20, 4, 2)), rng.gamma(1, size=(20, 4, 2))
    normal = torch.distributions.Normal(torch.from_numpy(means), torch.from_numpy(variances).sqrt())
    mixture = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(logits=torch.zeros(20, 4, dtype=torch.float64)),
        torch.distributions.Independent(normal, 1),
    )
    expected = mixture.log_prob(torch.from_numpy(truth))
    np.testing.assert_allclose(log_mixture(truth, means, variances), expected, rtol=1e-9)
    assert np.isfinite(log_mixture(truth + 1e4, means, variances)).all()


def test_what_a_policy_and_prediction_sets_come_to(digits_repository: Path, digits: Dataset) -> None:
    model, contract, _ = artefact.read(digits_repository, "digits")
    calibration = calibrate(model, contract, contract.head, "digits", digits.calibration)
    head = contract.with_head(contract.head, calibration=calibration).head
    rules = resolve(parse("reject energy>p90, defer entropy>0.5"), (head,))[""]
    answers = Respondent(model, contract, head).answer(digits.test)
    found = apply_policy(head.model_copy(update={"policy": rules}), answers)
    outputs = runtime.run(model, digits.test.inputs, ["energy", "entropy", "prediction", "probabilities"])
    rejected = outputs["energy"] > rules.rules[0].threshold
    deferred = ~rejected & (outputs["entropy"] > 0.5)
    wrong = outputs["prediction"] != digits.test.labels
    assert (found.share("reject"), found.share("defer")) == (rejected.mean(), deferred.mean())
    np.testing.assert_array_equal(found.accepted(), ~(rejected | deferred))
    np.testing.assert_array_equal(found.errors[:, 0], wrong)
    assert list(found.sets) == [0.9, 0.95, 0.99]
    held, size = found.sets[0.99]
    members = outputs["probabilities"] >= calibration.prediction_sets[2].least_probability - 1e-6
    members[np.arange(len(members)), outputs["prediction"]] = True
    assert size.tolist() == members.sum(axis=-1).tolist()
    assert held.tolist() == members[np.arange(len(members)), digits.test.labels].tolist()
    assert held.mean() > 0.97
    assert size.min() == 1
    without = apply_policy(head.model_copy(update={"policy": None}), answers)
    assert without.actions is None
    assert without.accepted().all()


def test_corrupted_images(digits_repository: Path, digits: Dataset) -> None:
    model, contract, _ = artefact.read(digits_repository, "digits")
    few = Split(digits.test.inputs[:60], digits.test.labels[:60])
    parts: dict[int, list[PolicyOutcome]] = {}
    for _, severity, answers in Respondent(model, contract, contract.head).answer_corrupted(generated(few)):
        parts.setdefault(severity, []).append(apply_policy(contract.head, answers))
    found = {severity: join(outcomes) for severity, outcomes in parts.items()}
    assert list(found) == [1, 2, 3, 4, 5]
    assert all(len(one.errors) == 60 * len(KINDS) for one in found.values())
    changed = corrupt(few.inputs, KINDS[0], 5)
    expected = runtime.run(model, changed, ["prediction"])["prediction"] != few.labels
    np.testing.assert_array_equal(found[5].errors[:60, 0], expected)
    assert found[1].errors.mean() < found[5].errors.mean()
    check_images(contract)
    for change in ({"layout": None}, {"range": (0.0, 2.0)}):
        given = contract.inputs[0].model_copy(update=change)
        with pytest.raises(ValueError, match="only images can be corrupted"):
            check_images(contract.model_copy(update={"inputs": (given,)}))

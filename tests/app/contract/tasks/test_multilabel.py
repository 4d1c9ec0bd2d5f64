from typing import Any

import numpy as np
import pytest

from app.contract import policy
from app.contract.calibration import Calibration, Interval, PredictionSet
from app.contract.head import Head
from app.contract.reader import ContractError, read
from app.contract.tasks import TASKS
from app.contract.tasks.multilabel import MultilabelEvaluation, prediction_set_members
from app.contract.tasks.task import Arrays
from tests import graphs

CONTRACT = graphs.multilabel()[1]
HEAD = CONTRACT.head
EVALUATION = MultilabelEvaluation(
    data="held out", rows=9, exact_match=0.5, micro_f1=0.75, macro_f1=0.5, nll=0.25, brier=0.125, ece=0.1,
    ece_uncalibrated=0.2, submodel_exact_match=(0.5, 0.25),
)  # fmt: skip


def with_fields(**fields: Any) -> Head:
    return Head.model_validate({**dict(HEAD), **fields})


def test_a_contract_comes_back_as_it_was_written() -> None:
    one = PredictionSet(coverage=0.9, least_probability=0.25, rows=50)
    fitted = Calibration(data="d", rows=100, temperature=1.5, quantiles={}, prediction_sets=(one,))
    head = with_fields(calibration=fitted, evaluation=EVALUATION)
    contract = CONTRACT.model_copy(update={"heads": (head,)})
    assert read(contract.model_dump_json(exclude_none=True)) == contract
    assert head.has_temperature
    assert contract.outputs[0].shape == ("B", 3)


def test_a_score_of_a_row_is_the_mean_over_its_labels() -> None:
    of_labels = np.array([[0.25, 0.5, 0.0], [0, 0, 0]], np.float32)
    found: Arrays = {name: of_labels * (1 + at) for at, name in enumerate(HEAD.scores)}
    values = HEAD.score_values(found)
    assert list(values) == ["entropy", "expected_entropy", "mutual_information"]
    assert [one.tolist() for one in values.values()] == [[0.25, 0], [0.5, 0], [0.75, 0]]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"labels": ()}, "labels must name at least 1, and targets none, for the task multilabel"),
        ({"targets": ({"name": "x", "unit": "m"},)}, "labels must name at least 1, and targets none"),
        (
            {"calibration": {"data": "d", "rows": 9, "temperature": 1, "quantiles": {},
                             "intervals": (Interval(coverage=0.9, factors=(1.0,), rows=9),)}},
            "calibration must be that of the task multilabel",
        ),
        ({"task": "classification", "evaluation": EVALUATION}, "evaluation must be that of the task classification"),
        ({"outputs": HEAD.outputs[1:]}, "outputs must be prediction, probabilities, submodels, entropy"),
        ({"policy": {"rules": ({"action": "defer", "score": "energy", "threshold": 1},)}}, "must be one of entr"),
    ],
)  # fmt: skip
def test_what_does_not_belong_is_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        with_fields(**fields)


def test_a_policy_names_scores_of_rows() -> None:
    rules = policy.resolve(policy.parse("reject mutual_information>0.1, defer entropy>0.5"), CONTRACT.heads)[""].rules
    assert [rule.score for rule in rules] == ["mutual_information", "entropy"]
    with pytest.raises(ValueError, match="the model has no score 'confidence'"):
        policy.resolve(policy.parse("defer confidence<0.5"), CONTRACT.heads)


def test_a_set_may_be_empty_and_a_label_on_its_edge_is_in_it() -> None:
    one = PredictionSet(coverage=0.9, least_probability=0.3, rows=100)
    probabilities = np.array([[0.1, 0.2, 0.0], [0.3, 0.3 - 5e-7, 0.3 - 2e-6]])
    assert prediction_set_members(one, probabilities).tolist() == [[False] * 3, [True, True, False]]


def test_a_service_that_knows_no_such_task_would_refuse_it() -> None:
    assert TASKS["multilabel"].answers == "labels"
    text = CONTRACT.model_dump_json(exclude_none=True).replace('"multilabel"', '"multi"')
    with pytest.raises(ContractError, match="task: Input should be"):
        read(text)

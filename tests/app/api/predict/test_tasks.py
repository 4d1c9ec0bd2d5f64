"""How the answers of each kind of task are written: what they have beyond the graph's own outputs."""

from typing import Any

import numpy as np
import pytest

from app.api.predict.tasks import ANSWERS, SELECTABLE
from app.api.predict.tasks.regression import bounds
from app.api.predict.tasks.task import OutputSelection, put
from app.contract.schema import Contract
from app.errors import OutputNotFinite
from tests import graphs
from tests.app.api.predict.answering import CLASSES, CLASSIFIER, INTERVALS, NUMBERS, REGRESSOR, SETS


def selection(contract: Contract, *regions: object) -> OutputSelection:
    return OutputSelection(contract.head, (), (), (), {}, regions)


def json_of(name: str, contract: Contract, found: Any, *regions: object) -> list[Any]:
    rows: list[dict[str, Any]] = [{}, {}]
    ANSWERS[contract.head.task].json[name](rows, selection(contract, *regions), found)
    return [row[name] for row in rows]


def npz_of(name: str, contract: Contract, found: Any, *regions: object) -> dict[str, Any]:
    return ANSWERS[contract.head.task].npz[name](selection(contract, *regions), found)


@pytest.mark.parametrize(("variance", "factor"), [(-1e-9, 1.0), (float("inf"), 1.0), (1e30, 1e38)])
def test_bounds_that_are_not_finite_are_an_error(variance: float, factor: float) -> None:
    found = {**NUMBERS, "variance": np.array([[variance, 1], [1, 1]], np.float32)}
    with pytest.raises(OutputNotFinite):
        bounds(INTERVALS[0].model_copy(update={"factors": (factor, 1.0)}), found)


def test_an_interval_is_its_factors_times_the_standard_deviation() -> None:
    lower, upper = bounds(INTERVALS[0], NUMBERS)
    assert lower.tolist() == [[-1, -4], [2, 4]]
    assert upper.tolist() == [[3, 8], [4, 4]]
    first, second = json_of("intervals", REGRESSOR, NUMBERS, *INTERVALS)
    assert [one["coverage"] for one in first] == [0.8, 0.9]
    assert [second[0]["lower"].tolist(), second[1]["lower"].tolist()] == [[2, 4], [1, 4]]
    arrays = npz_of("intervals", REGRESSOR, NUMBERS, *INTERVALS)
    assert arrays["intervals"].shape == (2, 2, 2, 2)  # B, C, lower and upper, D
    assert arrays["intervals"][:, 0].tolist() == np.stack([lower, upper], axis=1).tolist()
    assert arrays["intervals.coverage"].tolist() == [0.8, 0.9]


def test_without_regions_there_is_null_and_no_array() -> None:
    for name, contract, found in (("prediction_set", CLASSIFIER, CLASSES), ("intervals", REGRESSOR, NUMBERS)):
        assert json_of(name, contract, found) == [None, None]
        assert npz_of(name, contract, found) == {}


@pytest.mark.parametrize(
    ("one", "labels", "inside"),
    [
        (SETS[0], [["a"], ["b"]], [[True, False], [False, True]]),
        (SETS[1], [["a", "b"], ["b", "a"]], [[True, True], [True, True]]),
        (SETS[0].model_copy(update={"least_probability": 1.0}), [["a"], ["b"]], [[True, False], [False, True]]),
    ],
)
def test_a_prediction_set_names_the_most_probable_class_first_and_at_least_that(
    one: Any, labels: list[list[str]], inside: list[list[bool]]
) -> None:
    found = json_of("prediction_set", CLASSIFIER, CLASSES, one)
    assert found == [{"coverage": one.coverage, "labels": row} for row in labels]
    arrays = npz_of("prediction_set", CLASSIFIER, CLASSES, one)
    assert arrays["prediction_set"].tolist() == inside
    assert arrays["prediction_set.coverage"] == one.coverage


def test_every_submodel_of_a_classifier_has_its_own_answer() -> None:
    first, second = json_of("submodels", CLASSIFIER, CLASSES)
    assert [(one["label"], one["index"]) for one in first] == [("a", 0), ("a", 0)]
    assert [(one["label"], one["probabilities"].tolist()) for one in second] == [("b", [0.25, 0.75]), ("a", [0.5, 0.5])]


def test_submodels_of_a_regressor_have_a_variance_where_they_predict_one() -> None:
    first, _ = json_of("submodels", REGRESSOR, NUMBERS)
    assert [{name: values.tolist() for name, values in one.items()} for one in first] == [
        {"prediction": [0, 1], "variance": [3, 8]}, {"prediction": [2, 3], "variance": [3, 8]},
    ]  # fmt: skip
    means = {name: values for name, values in NUMBERS.items() if name != "submodel_variances"}
    first, _ = json_of("submodels", REGRESSOR, means)
    assert [list(one) for one in first] == [["prediction"], ["prediction"]]
    assert list(npz_of("submodels", REGRESSOR, means)) == ["submodels"]


def test_a_regressor_without_variances_has_a_menu_without_scores() -> None:
    _, contract = graphs.regressor(aleatoric=False)
    there = ANSWERS["regression"].menu(contract.head).selectable
    assert "entropy" not in there
    assert there["decision"] == ("prediction",)
    assert "entropy" in ANSWERS["regression"].menu(REGRESSOR.head).selectable


def test_what_can_be_asked_of_any_model_is_told_once() -> None:
    assert len(SELECTABLE) == len(set(SELECTABLE))
    assert {"logits", "prediction_set", "intervals", "aleatoric_variance"} <= set(SELECTABLE)


def test_every_row_gets_its_value_or_null() -> None:
    rows: list[dict[str, Any]] = [{}, {}]
    put(rows, "x", np.array([1, 2]))
    put(rows, "y", None)
    assert rows == [{"x": 1, "y": None}, {"x": 2, "y": None}]

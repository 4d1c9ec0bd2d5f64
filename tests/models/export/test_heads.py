"""What all kinds of heads share; the numbers of each are tested in a file of its own."""

from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import nn

from app.contract.tasks import TaskName
from models import runtime
from models.export.convert import convert
from models.export.heads import TASKS, named_task
from models.export.options import HeadOptions
from models.export.served import Served


def test_every_task_has_a_head() -> None:
    assert set(TASKS) == set(get_args(TaskName))
    assert all(task.task == name for name, task in TASKS.items())


def test_the_options_name_the_task() -> None:
    assert named_task(HeadOptions(labels="ab")).task == "classification"
    assert named_task(HeadOptions(targets=[("y", "m")])).task == "regression"
    assert named_task(HeadOptions(labels="ab", task="multilabel")).task == "multilabel"
    assert named_task(HeadOptions(labels="ab", task="classification")).task == "classification"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"labels": "ab", "task": "regression"}, "task: with labels expected classification or multilabel, got regres"),
        ({"targets": [("y", "m")], "task": "multilabel"}, "task: with targets expected regression, got multilabel"),
    ],
)
def test_a_task_that_does_not_go_with_the_answers_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        named_task(HeadOptions(**fields))


@pytest.mark.parametrize("fields", [{}, {"labels": "ab", "targets": [("y", "m")]}])
def test_none_or_two_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="labels, targets: give one of the two"):
        named_task(HeadOptions(**fields))


@pytest.mark.parametrize(
    ("fields", "width", "message"),
    [
        ({"labels": "abc"}, 4, "labels: the network has 4 classes, got 3 labels"),
        ({"labels": "abc"}, 1, "labels: the network has 2 classes, got 3 labels"),
        ({"labels": "a"}, 1, "labels: a network of one logit tells two classes apart, got 1 label: name both"),
        ({"labels": "a"}, 2, "labels: the network has 2 classes, got 1 labels"),
        ({"labels": "abc", "task": "multilabel"}, 4, "labels: the network gives 4 logits, one for each label, got 3"),
        ({"targets": [("y", "m")]}, 3, "targets: the network gives 3 numbers"),
    ],
)
def test_a_network_that_does_not_fit_is_refused(fields: dict[str, Any], width: int, message: str) -> None:
    options = HeadOptions(**fields)
    with pytest.raises(ValueError, match=message):
        named_task(options).head("", width, (), options)


@pytest.mark.parametrize(("width", "outputs"), [(2, 4), (4, 9)])
def test_a_regressor_has_scores_where_it_has_variances(width: int, outputs: int) -> None:
    options = HeadOptions(targets=[("x", "m"), ("y", "m")])
    assert len(named_task(options).head("", width, (), options).outputs) == outputs


def test_means_over_large_maps_stay_exact_in_onnxruntime() -> None:
    options = HeadOptions(labels="abcdefghijk")
    head = named_task(options).head("", 11, (272, 272), options)
    model = convert(Served(nn.Identity(), 1, nn.Identity(), [head]).eval(), torch.rand(1, 11, 272, 272))
    logits = np.random.default_rng(0).normal(0, 0.05, (1, 11, 272, 272)).astype(np.float32)
    found = runtime.run(model, logits, ["entropy", "row_entropy", "energy", "row_energy"])
    for name in ("entropy", "energy"):
        assert found[f"row_{name}"][0] == pytest.approx(found[name].astype(np.float64).mean(), rel=2e-6)

from typing import get_args

import numpy as np

from app.contract.tasks import TASKS, TaskName


def test_every_task_is_registered_under_its_name() -> None:
    assert set(TASKS) == set(get_args(TaskName))
    assert all(task.name == name for name, task in TASKS.items())


def test_a_score_is_the_output_of_its_name_unless_a_task_says_otherwise() -> None:
    found = {"entropy": np.array([0.25, 0.5])}
    assert TASKS["regression"].score_value("entropy", found).tolist() == [0.25, 0.5]

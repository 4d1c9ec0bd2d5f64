import numpy as np

from models.evaluation.answers import Answers


def test_as_many_as_there_are_labels() -> None:
    assert len(Answers({}, np.zeros((3, 2, 2)))) == 3

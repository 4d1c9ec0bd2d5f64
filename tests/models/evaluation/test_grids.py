import numpy as np

from app.contract.axis import FreeAxis
from app.contract.tensor import Tensor
from models.evaluation.grids import grid_sizes, letter_sizes
from tests.models.evaluation.answered import CLASSIFIER, CONTRACT

AXES = {"H": FreeAxis(least=8, most=64, multiple_of=8), "W": FreeAxis(least=8, most=64, multiple_of=8)}


def test_a_grid_has_the_sizes_of_the_inputs_letters_or_a_fraction_of_them() -> None:
    image = Tensor(name="image", dtype="uint8", shape=("B", 1, "H", "W"), unit="")
    contract = CONTRACT.model_copy(update={"inputs": (image,), "axes": AXES})
    letters = letter_sizes(contract, {"image": np.zeros((3, 1, 16, 24), np.uint8)})
    assert letters == {"H": 16, "W": 24}
    for grid, sizes in ((("H", "W"), (16, 24)), (("H/8", "W/2"), (2, 12)), ((5, "W"), (5, 24)), ((), ())):
        assert grid_sizes(CLASSIFIER.model_copy(update={"grid": grid}), letters) == sizes

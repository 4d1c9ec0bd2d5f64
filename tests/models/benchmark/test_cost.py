import numpy as np
import onnx

from app.contract.schema import Compilation
from models.benchmark.cost import macs, weights
from tests.models.evaluation.answered import CONTRACT


def test_the_cheapest_plan_counts_and_silence_is_no_zero() -> None:
    plans = [CONTRACT.model_copy(update={"compilation": Compilation(macs=of, macs_single=1)}) for of in (30, 10, 20)]
    assert macs(plans) == 10
    assert macs([CONTRACT, plans[0]]) == 30
    assert macs([CONTRACT]) is None
    assert macs([]) is None


def test_weights_are_all_numbers_of_a_file() -> None:
    model = onnx.ModelProto()
    assert weights(model) == 0
    for shape in ((2, 3), (), (0, 5)):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(shape, np.float32), str(shape)))
    assert weights(model) == 6 + 1 + 0

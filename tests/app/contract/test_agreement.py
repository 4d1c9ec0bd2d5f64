import pytest

from app.contract.agreement import GraphTensor, check_agreement
from app.contract.reader import ContractError
from tests.app.engine.fakes import CONTRACT

INPUTS: dict[str, GraphTensor] = {"input": ("float32", [None, 2])}
OUTPUTS: dict[str, GraphTensor] = {
    tensor.name: (tensor.dtype, list(CONTRACT.sizes(tensor))) for tensor in CONTRACT.outputs
}


def test_a_graph_that_keeps_its_contract_is_accepted() -> None:
    check_agreement(CONTRACT, INPUTS, OUTPUTS, 1.0)


@pytest.mark.parametrize(
    ("inputs", "outputs", "temperature", "message"),
    [
        ({"x": ("float32", [None, 2])}, {}, 1.0, "inputs: declared input, the graph has x"),
        ({"input": ("float64", [None, 2])}, {}, 1.0, r"inputs.input.dtype: declared float32, the graph has float64"),
        ({"input": ("float32", [1, 2])}, {}, 1.0, r"inputs.input.shape: declared \['B', 2\], the graph has \[1, 2\]"),
        ({}, {"entropy": ("float32", [None, 1])}, 1.0, "outputs.entropy.shape: declared"),
        ({}, {"doubt": ("float32", [None])}, 1.0, "outputs: declared prediction, .*the graph has prediction, .*doubt"),
        ({}, {}, None, "calibration.temperature: the graph has no scalar initializer"),
        ({}, {}, 1.1, "calibration.temperature: declared 1.0, the graph has 1.1"),
        ({}, {}, float("nan"), "calibration.temperature: declared 1.0, the graph has nan"),
    ],
)
def test_the_message_names_the_field_that_differs(
    inputs: dict[str, GraphTensor], outputs: dict[str, GraphTensor], temperature: float | None, message: str
) -> None:
    with pytest.raises(ContractError, match=message):
        check_agreement(CONTRACT, inputs or INPUTS, OUTPUTS | outputs, temperature)

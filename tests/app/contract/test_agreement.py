import pytest

from app.contract.agreement import GraphTensor, check_agreement
from app.contract.reader import ContractError
from app.contract.schema import numbers
from tests.app.engine.fakes import CONTRACT

INPUTS: dict[str, GraphTensor] = {"input": ("float32", [None, 2])}
OUTPUTS: dict[str, GraphTensor] = {
    tensor.name: (tensor.dtype, list(numbers(tensor.shape))) for tensor in CONTRACT.outputs
}


def test_a_graph_that_keeps_its_contract_is_accepted() -> None:
    check_agreement(CONTRACT, INPUTS, OUTPUTS, {"temperature": 1.0})


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
        check_agreement(CONTRACT, inputs or INPUTS, OUTPUTS | outputs, {"temperature": temperature})


def test_each_head_has_outputs_and_a_temperature_of_its_own() -> None:
    heads = tuple(CONTRACT.head.model_copy(update={"name": name}) for name in ("steering", "road"))
    contract = CONTRACT.model_copy(update={"heads": heads})
    outputs: dict[str, GraphTensor] = {
        tensor.name: (tensor.dtype, list(numbers(tensor.shape))) for tensor in contract.outputs
    }
    temperatures = {"steering.temperature": 1.0, "road.temperature": 1.0}
    check_agreement(contract, INPUTS, outputs, temperatures)
    with pytest.raises(ContractError, match=r"heads.1.calibration.temperature: declared 1.0, the graph has 1.5"):
        check_agreement(contract, INPUTS, outputs, temperatures | {"road.temperature": 1.5})
    with pytest.raises(ContractError, match=r"the graph has no scalar initializer named steering.temperature"):
        check_agreement(contract, INPUTS, outputs, {"road.temperature": 1.0})
    with pytest.raises(ContractError, match=r"outputs: declared steering.prediction, .*, the graph has prediction, "):
        check_agreement(contract, INPUTS, OUTPUTS, temperatures)

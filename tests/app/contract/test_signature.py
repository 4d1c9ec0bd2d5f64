from app.contract import signature
from app.contract.signature import Port
from tests import graphs
from tests.app.engine.fakes import CONTRACT


def test_a_contract_s_letters_are_the_sizes_of_its_model() -> None:
    found = signature.of(CONTRACT)
    assert found.inputs == (Port(name="input", dtype="float32", sizes=("B", 2)),)
    ports = {port.name: port for port in found.outputs}
    assert list(ports) == [tensor.name for tensor in CONTRACT.outputs]
    assert ports["prediction"] == Port(name="prediction", dtype="int64", sizes=("B",))
    assert ports["submodels"].sizes == ("B", 2, 2)


def test_those_of_a_regressor_are_its_targets() -> None:
    _, contract = graphs.regressor(aleatoric=False)
    ports = {port.name: port.sizes for port in signature.of(contract).outputs}
    assert ports == {
        "prediction": ("B", 2), "submodels": ("B", 2, 2), "variance": ("B", 2), "epistemic_variance": ("B", 2),
    }  # fmt: skip

"""Checks that a graph matches its contract."""

from collections.abc import Mapping, Sequence

from app.contract.reader import ContractError
from app.contract.schema import Contract, numbers

GraphTensor = tuple[str, Sequence[int | None]]
"""A tensor as the graph declares it: dtype and sizes, None for a symbolic size, as those of B and of free axes are."""


def check_agreement(
    contract: Contract,
    inputs: dict[str, GraphTensor],
    outputs: dict[str, GraphTensor],
    temperatures: Mapping[str, float | None],
) -> None:
    """Compares a contract with what its graph declares.

    Args:
        temperatures: the graph's initializers that heads name, by name; None for those that are no float32 scalars.

    Raises:
        ContractError: they disagree; the message names the field.
    """
    for kind, declared, actual in (
        ("inputs", contract.inputs, inputs),
        ("outputs", contract.outputs, outputs),
    ):
        wanted = {tensor.name: tensor for tensor in declared}
        if wanted.keys() != actual.keys():
            raise ContractError(f"{kind}: declared {', '.join(wanted)}, the graph has {', '.join(actual) or 'none'}")
        for name, tensor in wanted.items():
            dtype, sizes = actual[name]
            if dtype != tensor.dtype:
                raise ContractError(f"{kind}.{name}.dtype: declared {tensor.dtype}, the graph has {dtype}")
            if tuple(sizes) != numbers(tensor.shape):
                spelled = [("?" if index else "B") if size is None else size for index, size in enumerate(sizes)]
                raise ContractError(f"{kind}.{name}.shape: declared {list(tensor.shape)}, the graph has {spelled}")
    for index, head in enumerate(contract.heads):
        if not head.has_temperature:
            continue
        field = "calibration.temperature" if not head.name else f"heads.{index}.calibration.temperature"
        temperature = temperatures.get(head.temperature_name)
        if temperature is None:
            raise ContractError(f"{field}: the graph has no scalar initializer named {head.temperature_name}")
        if not abs(temperature - head.temperature) <= 1e-6 * head.temperature:  # `not … <=`, so that NaN fails
            raise ContractError(f"{field}: declared {head.temperature}, the graph has {temperature}")

"""Checks that a graph matches its contract."""

from collections.abc import Sequence

from app.contract.reader import ContractError
from app.contract.schema import Contract

GraphTensor = tuple[str, Sequence[int | None]]
"""A tensor as the graph declares it: dtype and sizes, None for a symbolic size, as those of B and of free axes are."""


def check_agreement(
    contract: Contract,
    inputs: dict[str, GraphTensor],
    outputs: dict[str, GraphTensor],
    temperature: float | None,
) -> None:
    """Compares a contract with what its graph declares.

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
            if tuple(sizes) != contract.sizes(tensor):
                spelled = [("?" if index else "B") if size is None else size for index, size in enumerate(sizes)]
                raise ContractError(f"{kind}.{name}.shape: declared {list(tensor.shape)}, the graph has {spelled}")
    if not contract.has_temperature:
        return
    if temperature is None:
        raise ContractError("calibration.temperature: the graph has no scalar initializer named temperature")
    if not abs(temperature - contract.temperature) <= 1e-6 * contract.temperature:  # `not … <=`, so that NaN fails
        raise ContractError(f"calibration.temperature: declared {contract.temperature}, the graph has {temperature}")

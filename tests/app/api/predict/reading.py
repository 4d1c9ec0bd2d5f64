"""Contracts of models with one and with several inputs, for tests of how requests give them."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.api.predict.input_rows import InputRows
from app.contract.axis import FreeAxis, Padding
from app.contract.schema import Contract
from app.contract.tensor import Tensor
from app.errors import InvalidInput
from tests.app.engine.fakes import CONTRACT

IDS = Tensor(name="ids", dtype="int64", shape=("B", "T"), unit="token", range=(0, 99))
MARK = Tensor(name="mark", dtype="bool", shape=("B", "T"), unit="")
LEVEL = Tensor(name="level", dtype="float32", shape=("B", 2), unit="m", range=(0, 1))
TOKENS = FreeAxis(least=2, most=16, multiple_of=2, padding=Padding(fill={"ids": 1}, mark="mark"))


def contract_of(*inputs: Tensor, **axes: FreeAxis) -> Contract:
    return CONTRACT.model_copy(update={"inputs": inputs, "axes": axes})


def only(dtype: str, *shape: int | str, **more: Any) -> Contract:
    """A model with one input and no free axes."""
    return contract_of(Tensor(name="input", dtype=dtype, shape=("B", *shape), unit="grey value", **more))


SEVERAL = contract_of(IDS, MARK, LEVEL, T=TOKENS)


def rows_of(contract: Contract, most: int = 8) -> InputRows:
    return InputRows(contract, most)


def refusal(call: Callable[[], object]) -> tuple[str | None, str]:
    """The field and the message."""
    with pytest.raises(InvalidInput) as caught:
        call()
    return caught.value.field, caught.value.message


def npy(array: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()

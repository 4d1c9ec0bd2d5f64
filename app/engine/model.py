"""A model that is being served: its contract and its session under a name and version."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.contract.schema import Contract
from app.engine.session import Session
from app.errors import ModelRefused, OutputNotFinite

_SECONDS_TO_WARM_UP = 60.0


class Model:
    """Answers batches in the device's one runner thread, so that requests queue instead of fighting for cores.

    Raises:
        ModelRefused: the first run, on one row and on two, fails, takes longer than a minute, or gives other shapes
            than the contract says.
    """

    def __init__(self, name: str, version: int, contract: Contract, session: Session, runner: Executor) -> None:
        self.name = name
        self.version = version
        self.contract = contract
        self._session = session
        self._runner = runner
        self._warm_up()

    async def predict(self, inputs: NDArray[Any], outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Inputs [B, …] as the contract declares them → the asked outputs by name.

        Raises:
            OutputNotFinite: an asked output holds NaN or infinity.
        """
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._runner, self._session.run, inputs, outputs)
        for name, values in found.items():
            if not np.isfinite(values).all():
                raise OutputNotFinite(f"{self.name}:{self.version} gave NaN or infinity in its output {name}")
        return found

    def _warm_up(self) -> None:
        given = self.contract.inputs[0]
        names = [tensor.name for tensor in self.contract.outputs]
        for batch in (1, 2):
            shape = [size if size is not None else batch for size in self.contract.sizes(given)]
            low = given.range[0] if given.range else 0
            try:
                found = self._session.run(np.full(shape, low, dtype=given.dtype), names, _SECONDS_TO_WARM_UP)
            except Exception as error:  # see Session
                raise ModelRefused(f"its first run on {batch} rows fails: {error}") from error
            for tensor in self.contract.outputs:
                sizes = tuple(size if size is not None else batch for size in self.contract.sizes(tensor))
                if found[tensor.name].shape != sizes:
                    raise ModelRefused(
                        f"outputs.{tensor.name}: declared {list(sizes)} for {batch} rows, "
                        f"got {list(found[tensor.name].shape)}"
                    )

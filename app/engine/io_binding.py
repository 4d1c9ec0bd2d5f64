"""A session with a few fixed batch sizes, whose inputs and outputs are bound to memory on the device.

For GPUs: cuDNN prepares anew for every shape that it meets, and outputs that nobody asked for stay on the device.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from app.contract.schema import Contract, numbers
from app.engine.device import Device
from app.engine.row_shapes import Feeds
from app.engine.session import Session
from app.failures import ModelRejected


class _Size:
    """One batch size: its memory on the device and, with CUDA graphs on, its graph."""

    def __init__(
        self, session: onnxruntime.InferenceSession, contract: Contract, rows: int, device: Device, index: int
    ) -> None:
        place = (device.name, index)

        def sizes(tensor: Any) -> list[int]:
            return [rows if size is None else size for size in numbers(tensor.shape)]

        def reserve(tensor: Any) -> onnxruntime.OrtValue:
            return onnxruntime.OrtValue.ortvalue_from_shape_and_type(sizes(tensor), np.dtype(tensor.dtype), *place)

        self.rows = rows
        self._staged = {given.name: np.zeros(sizes(given), given.dtype) for given in contract.inputs}
        self._inputs = {
            name: onnxruntime.OrtValue.ortvalue_from_numpy(values, *place) for name, values in self._staged.items()
        }
        self._outputs = {tensor.name: reserve(tensor) for tensor in contract.outputs}
        self._binding = session.io_binding()  # bound once: a CUDA graph replays the addresses that it was captured with
        for name, value in self._inputs.items():
            self._binding.bind_ortvalue_input(name, value)
        for name, value in self._outputs.items():
            self._binding.bind_ortvalue_output(name, value)
        self._session = session

    def run(
        self, inputs: Feeds, outputs: Sequence[str], options: onnxruntime.RunOptions | None
    ) -> dict[str, NDArray[Any]]:
        rows = len(next(iter(inputs.values())))
        for name, staged in self._staged.items():
            staged[:rows] = inputs[name]
            staged[rows:] = inputs[name][-1]  # padded with a real row: whatever it costs or raises, that row would too
            self._inputs[name].update_inplace(staged)
        self._session.run_with_iobinding(self._binding, options)
        return {name: fetch(self._outputs[name])[:rows] for name in outputs}


class IOBindingSession(Session):
    """Runs any batch up to the largest size, padded to the next of its sizes. For one thread at a time.

    Args:
        content: the bytes of the file.
        device: where it runs, and whether to capture CUDA graphs.
        contract: declares the shapes.
        most: the largest batch, in rows.
        index: index of the GPU.

    Raises:
        ModelRejected: see Session; or the device lacks the memory for all sizes.
    """

    def __init__(self, content: bytes, device: Device, contract: Contract, most: int, index: int = 0) -> None:
        super().__init__(content, device, 1, index)
        self._graphs = device.name == "cuda" and device.cuda.graphs
        try:
            self._sizes = [_Size(self._session, contract, rows, device, index) for rows in batch_sizes(most)]
        except Exception as error:  # see Session
            raise ModelRejected(f"no memory on the device for batches of up to {most} rows: {error}") from error

    @property
    def sizes(self) -> tuple[int, ...]:
        """Every batch size; with CUDA graphs three times each, because a graph is captured only after some runs."""
        return tuple(size.rows for size in self._sizes for _ in range(3 if self._graphs else 1))

    def _run(
        self, inputs: Feeds, outputs: Sequence[str], options: onnxruntime.RunOptions | None
    ) -> dict[str, NDArray[Any]]:
        rows = len(next(iter(inputs.values())))
        # from 1: onnxruntime reserves graph id 0
        number, size = next((number, size) for number, size in enumerate(self._sizes, 1) if size.rows >= rows)
        if self._graphs:  # onnxruntime does not compare shapes: a wrong id would replay another size's graph
            options = options or onnxruntime.RunOptions()
            options.add_run_config_entry("gpu_graph_id", str(number))
        return size.run(inputs, outputs, options)


def fetch(value: onnxruntime.OrtValue) -> NDArray[Any]:
    """An output's values, copied from the device."""
    found: NDArray[Any] = np.array(value.numpy())  # a copy on CPUs too: the next run overwrites the bound memory
    return found


def batch_sizes(most: int) -> list[int]:
    """The powers of two below a number of rows, and that number."""
    return [*(2**power for power in range((most - 1).bit_length())), most]

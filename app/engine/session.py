"""One ONNX graph in onnxruntime on one device."""

import threading
from collections.abc import Sequence
from typing import Any

import onnxruntime

from app.engine.device import PROVIDERS, Device
from app.engine.row_shapes import Feeds
from app.failures import DeviceOutOfMemory, ModelRejected, StartError

_HEAVY = ("Conv", "Gemm", "MatMul")  # substrings, for FusedConv and the like
# how they say it, in lower case, C++ and protobuf among them; there is no exception class for it
_NO_MEMORY = (
    "failed to allocate memory", "available memory of",  # onnxruntime's arena
    "out of memory", "bad_alloc", "arena alloc failed",
    "alloc_failed", "allocation_failed",  # cuBLAS; cuDNN 9, for the host and the device
)  # fmt: skip


class Session:
    """Runs a graph given as bytes, at any batch size.

    With free axes every run may have sizes of its own. onnxruntime then keeps no plan of memory for each of them, and
    its arena keeps about what the largest run needed.

    Args:
        content: the bytes of the file.
        device: where it runs.
        threads: threads that work on one batch, on a CPU.
        index: index of the GPU.
        free: the graph has free axes.

    Raises:
        ModelRejected: onnxruntime cannot load the graph, or would compute its convolutions or products on the CPU.
        StartError: onnxruntime did not take the chosen device.
    """

    def __init__(self, content: bytes, device: Device, threads: int = 1, index: int = 0, *, free: bool = False) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what it logs at 3 it also raises
        # explicit: the default is the host's cores, whatever the container's quota; a GPU needs none
        options.intra_op_num_threads = threads if device.name == "cpu" else 1
        options.add_session_config_entry("session.force_spinning_stop", "1")  # between runs the cores belong to HTTP
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        # a plan would be kept for every size ever met; to shrink the arena after each run fragments the heap (measured)
        options.enable_mem_pattern = not free
        providers: list[Any] = [PROVIDERS["cpu"]]  # on a GPU too: shape operations run there
        if device.name == "cuda":
            providers.insert(0, (PROVIDERS["cuda"], device.cuda.provider_options(index, free=free)))
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=providers)
        except Exception as error:  # onnxruntime raises a dozen kinds, none of them documented
            raise ModelRejected(f"onnxruntime cannot load it: {error}") from error
        self._session.disable_fallback()  # or an error in a run moves the session to the CPU with a mere print
        self._device = device.name
        self._wanted = PROVIDERS[device.name]
        self.check_provider()  # without CUDA, onnxruntime only warns and takes the CPU
        if misplaced := _misplaced(self._session, self._wanted):
            raise ModelRejected(f"onnxruntime would not compute these on {device.name}: {', '.join(misplaced)}")

    def check_provider(self) -> None:
        """Checks where the session runs now.

        Raises:
            StartError: not on the chosen device.
        """
        self.provider: str = self._session.get_providers()[0]
        if self.provider != self._wanted:
            raise StartError(
                f"chosen to run on {self._device}, but onnxruntime took its {self.provider}; "
                "MASKSEMBLES_DEVICE=cpu starts without a GPU"
            )

    @property
    def sizes(self) -> tuple[int, ...]:
        """The batch sizes to try before the model is trusted: one row, and more than one."""
        return (1, 2)  # a graph with a fixed batch of 1 fails at 2

    def run(self, inputs: Feeds, outputs: Sequence[str], seconds: float | None = None) -> dict[str, Any]:
        """Inputs [B, …] by name → the requested outputs by name; after `seconds` onnxruntime ends it with an error.

        Raises:
            DeviceOutOfMemory: the device lacks the memory for so many rows.
        """
        # new ones for each run: a terminate flag stays set
        options = None if seconds is None else onnxruntime.RunOptions()
        timer = threading.Timer(seconds, setattr, (options, "terminate", True)) if seconds is not None else None
        if timer is not None:
            timer.start()
        try:
            return self._run(inputs, outputs, options)
        except Exception as error:
            if is_out_of_memory(error):
                sizes = ", ".join(str(list(values.shape)) for values in inputs.values())
                raise DeviceOutOfMemory(f"no memory for inputs of {sizes}") from error
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def _run(self, inputs: Feeds, outputs: Sequence[str], options: onnxruntime.RunOptions | None) -> dict[str, Any]:
        return dict(zip(outputs, self._session.run(list(outputs), inputs, options)))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or one that caused it, says that there was no memory."""
    if isinstance(error, MemoryError | DeviceOutOfMemory) or any(words in str(error).lower() for words in _NO_MEMORY):
        return True
    return error.__cause__ is not None and is_out_of_memory(error.__cause__)


def _misplaced(session: onnxruntime.InferenceSession, wanted: str) -> list[str]:
    """Names of the heavy operations that a session would compute on another device than wanted."""
    return sorted(
        {
            node.op_type
            for part in session.get_provider_graph_assignment_info()
            if part.ep_name != wanted
            for node in part.get_nodes()
            if any(name in node.op_type for name in _HEAVY)
        }
    )

"""Out of memory: the batcher halves a batch that the device has no memory for, and its answers stay the same.

Once by the limit of a session's arena, once with a card that is really full.
"""

import asyncio
import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.engine.batcher import Batcher
from app.engine.device import Cuda
from app.engine.model import Model
from app.engine.queue import Queue
from app.engine.row_shapes import Feeds
from app.engine.session import Session
from app.failures import DeviceOutOfMemory
from app.telemetry.metrics import Telemetry
from tests.gpu.check import Setting, run
from tests.gpu.shipped import Served, shipped
from tests.gpu.tolerance import shares

_LIMIT_MB = 256  # a convolution's workspace must fit, too
_LEFT_MB = 256  # of a full card
_FIRST, _MOST = 64, 2**17
_TOO_MANY = 100  # rows, where a CPU plays the device


class _Small(Session):
    """Plays a device without memory, where there is none."""

    def run(self, inputs: Feeds, outputs: Sequence[str], seconds: float | None = None) -> dict[str, Any]:
        (rows,) = inputs.values()
        if len(rows) > _TOO_MANY:
            raise DeviceOutOfMemory(f"no memory for {len(rows)} rows")
        return super().run(inputs, outputs, seconds)


def check(setting: Setting) -> None:
    (model,) = (each for each in shipped(setting.device) if each.name == "fashion-mnist")
    content = model.path.read_bytes()
    with setting.figures.part("limit"):
        device = setting.choose(Cuda(memory_mb=_LIMIT_MB))
        session = Session(content, device) if setting.on_gpu else _Small(content, device)
        _halves(setting, model, session, "limit")
    if setting.on_gpu:
        with setting.figures.part("full card"):
            session = Session(content, setting.choose())
            session.run(
                model.feeds(model.rows), model.outputs
            )  # what libraries reserve with their first use, they have then
            with _full_card(setting):
                _halves(setting, model, session, "full card")


def _halves(setting: Setting, model: Served, session: Session, kind: str) -> None:
    """Finds a number of rows that is too many, then has the batcher answer that many."""
    served = Model(model.name, 1, model.contract, [session])
    size = _too_many(session, model)
    rows = _repeated(model.rows, size)
    telemetry = Telemetry()
    found = asyncio.run(_predict(served, rows, model.outputs, telemetry))
    (told,) = (
        line for line in telemetry.render().decode().splitlines() if line.startswith("masksembles_out_of_memory_total ")
    )
    halved = float(told.split()[1])
    expected = {name: _repeated(values, size) for name, values in model.reference().items()}
    worst = max(shares(found, expected, model.contract.head.task).values())
    setting.figures.record(kind, {"rows": size, "halved": halved, "share of what is allowed": worst})
    setting.figures.expect(halved >= 1, f"{kind}: no batch was halved")
    setting.figures.expect(worst <= 1, f"{kind}: halves answer {worst:.3g} times what is allowed from the CPU")


def _too_many(session: Session, model: Served) -> int:
    """The first of the powers of two for which there is no memory.

    Raises:
        AssertionError: there is memory for all of them.
    """
    size = _FIRST
    while size <= _MOST:
        try:
            session.run(model.feeds(_repeated(model.rows, size)), model.outputs)
        except DeviceOutOfMemory as error:
            print(f"{size} rows: {error.__cause__ or error}", flush=True)
            return size
        size *= 2
    raise AssertionError(f"there is memory for {_MOST} rows")


async def _predict(model: Model, rows: NDArray[Any], outputs: list[str], telemetry: Telemetry) -> dict[str, Any]:
    batcher = Batcher(Queue(2 * _MOST, len(rows)), 1, telemetry)
    batcher.start()
    try:
        return await batcher.predict(model, {model.contract.given.name: rows}, tuple(outputs), 60)
    finally:
        await batcher.close()


def _repeated(values: NDArray[Any], rows: int) -> NDArray[Any]:
    return np.resize(values, (rows, *values.shape[1:]))


@contextmanager
def _full_card(setting: Setting) -> Iterator[None]:
    """Takes all memory of the card but a little.

    Raises:
        MemoryError: CUDA does not give it.
    """
    cuda = ctypes.CDLL("libcudart.so.13")
    free, total, taken = ctypes.c_size_t(0), ctypes.c_size_t(0), ctypes.c_void_p(0)
    cuda.cudaMemGetInfo(ctypes.byref(free), ctypes.byref(total))
    size = free.value - _LEFT_MB * 2**20
    if size <= 0 or (status := cuda.cudaMalloc(ctypes.byref(taken), ctypes.c_size_t(size))) != 0:
        raise MemoryError(f"{free.value >> 20} MiB are free, and cudaMalloc of {size >> 20} MiB fails ({status})")
    setting.figures.record("card", {"MiB": total.value >> 20, "taken MiB": size >> 20})
    try:
        yield
    finally:
        cuda.cudaFree(taken)


if __name__ == "__main__":
    run(check)

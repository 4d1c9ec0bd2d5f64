"""CUDA graphs: the same answers, also in another thread than the one that loaded the model, as in the service; what a
change of the batch size costs with and without them; and whether a model can be loaded beside them."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from app.engine.device import Cuda
from app.engine.io_binding import IOBindingSession
from app.engine.model import Model
from tests.gpu import exports
from tests.gpu.check import Setting, run
from tests.gpu.shipped import Served, shipped, unpacked
from tests.gpu.tolerance import Arrays, shares

_MOST = 16
_ROUNDS = 3
_CHANGES = 10


def check(setting: Setting) -> None:
    models = shipped(setting.device)
    large = [name for name in exports.names(setting.exports) if name == "resnet50.folded.float32" and setting.on_gpu]
    for model in models:
        with setting.figures.part(model.name):
            _same_answers(setting, model)
    for name in large:
        with setting.figures.part(name):
            _same_answers(setting, unpacked(setting.exports, name, setting.device, _MOST))
    with setting.figures.part("loading beside them"):
        _load_beside(setting, models[0])


def _session(setting: Setting, model: Served, graphs: bool) -> IOBindingSession:
    """A session that has run every batch size, as the service loads it."""
    device = setting.choose(Cuda(graphs=graphs))
    session = IOBindingSession(model.path.read_bytes(), device, model.contract, _MOST)
    Model(model.name, 1, model.contract, [session])
    return session


def _same_answers(setting: Setting, model: Served) -> None:
    expected = model.reference()
    took: dict[str, float] = {}
    began = time.perf_counter()
    plain = _session(setting, model, graphs=False)
    took["seconds to load without"] = time.perf_counter() - began
    began = time.perf_counter()
    recorded = _session(setting, model, graphs=True)
    took["seconds to load with"] = time.perf_counter() - began
    for place, run_there in (("thread that loaded", _here), ("another thread", _in_thread)):
        told = run_there(partial(_compare, (plain, recorded), model, expected))
        setting.figures.record(f"{model.name}, {place}", told)
        worst = told["share of what is allowed"]
        setting.figures.expect(
            worst <= 1, f"{model.name}: with CUDA graphs, {place}: {worst:.3g} times what is allowed"
        )
    for name, session in (("without", plain), ("with", recorded)):
        took[f"seconds of a change of size {name}"] = _change(session, model)
    setting.figures.record(f"{model.name}, times", took)


def _compare(sessions: tuple[IOBindingSession, IOBindingSession], model: Served, expected: Arrays) -> dict[str, float]:
    """The answers without and with graphs, at every number of rows, several times: how far they lie apart, from each
    other and from the expected ones; and the seconds of the first run at each batch size."""
    plain, recorded = sessions
    told = {"share of what is allowed": 0.0, "from no graphs": 0.0}
    for _ in range(_ROUNDS):
        for rows in range(1, _MOST + 1):
            begun = time.perf_counter()
            found = recorded.run(model.feeds(model.rows[:rows]), model.outputs)
            if rows in recorded.sizes:
                told.setdefault(f"seconds of the first run of {rows} rows", time.perf_counter() - begun)
            same = plain.run(model.feeds(model.rows[:rows]), model.outputs)
            wanted = {name: values[:rows] for name, values in expected.items()}
            share = max(shares(found, wanted, model.contract.head.task).values())
            apart = max(float(np.abs(found[name] - same[name]).max()) for name in found)
            told["share of what is allowed"] = max(told["share of what is allowed"], share)
            told["from no graphs"] = max(told["from no graphs"], apart)
    return told


def _change(session: IOBindingSession, model: Served) -> float:
    """What it costs that the size of a batch changes: two sizes in turn, less the same runs in a row."""

    def seconds(sizes: list[int]) -> float:
        session.run(model.feeds(model.rows[: sizes[0]]), model.outputs)
        begun = time.perf_counter()
        for rows in sizes:
            session.run(model.feeds(model.rows[:rows]), model.outputs)
        return time.perf_counter() - begun

    half = _MOST // 2
    in_a_row = seconds([_MOST] * _CHANGES) + seconds([half] * _CHANGES)
    return (seconds([half, _MOST] * _CHANGES) - in_a_row) / (2 * _CHANGES)


def _load_beside(setting: Setting, model: Served) -> None:
    """A model is loaded again and again while another thread captures graphs and replays them."""
    session = _session(setting, model, graphs=True)
    done = threading.Event()
    failed: list[str] = []

    def work() -> None:
        while not done.is_set():
            for rows in session.sizes:
                try:
                    session.run(model.feeds(model.rows[:rows]), model.outputs)
                except Exception as error:
                    failed.append(f"a run fails: {error}")
                    return

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    for _ in range(3):
        try:
            _session(setting, model, graphs=True)
        except Exception as error:
            failed.append(f"loading fails: {error}")
            break
    done.set()
    thread.join(10)
    setting.figures.record("loading beside them", [" ".join(each.split())[:300] for each in failed])
    setting.figures.expect(not failed, f"while another thread runs CUDA graphs: {failed[:1]}")


def _here(work: Callable[[], dict[str, float]]) -> dict[str, float]:
    return work()


def _in_thread(work: Callable[[], dict[str, float]]) -> dict[str, float]:
    """Runs it in a thread of its own; raises what it raises."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


if __name__ == "__main__":
    run(check)

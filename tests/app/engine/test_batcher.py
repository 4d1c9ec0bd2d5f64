import asyncio
import contextlib
import gc
import logging
import threading
import time
import weakref
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.engine.batcher import Batcher
from app.engine.device import Device
from app.engine.model import Model
from app.engine.queue import Queue
from app.engine.reconciler import open_repository
from app.engine.watchdog import Patience, Watchdog
from app.errors import (
    DeadlineExceeded,
    DeviceFailed,
    DeviceStuck,
    ModelFailed,
    NotReady,
    OutOfMemory,
    OutputNotFinite,
    QueueFull,
    ServiceError,
)
from app.failures import ClientGone, DeviceOutOfMemory
from app.telemetry.metrics import Telemetry
from tests.app.engine.fakes import Arrays, FakeModel, FakeSession, answer, fake, rows, until

WANTED = ("entropy",)
PATIENCE = 30.0


@asynccontextmanager
async def batching(most_rows: int = 1000, most_batch: int = 8, devices: int = 1) -> AsyncIterator[Batcher]:
    batcher = Batcher(Queue(most_rows, most_batch), devices, Telemetry())
    batcher.start()
    try:
        yield batcher
    finally:
        await batcher.close()


async def settled(condition: Any) -> None:
    await asyncio.to_thread(until, condition)


def ask(batcher: Batcher, model: Model, *values: float, **options: Any) -> asyncio.Task[Arrays]:
    options = {"seconds": PATIENCE, **options}
    return asyncio.ensure_future(batcher.predict(model, rows(*values), WANTED, **options))


def test_batches_form_while_the_device_is_busy_and_each_gets_its_own() -> None:
    async def scene() -> None:
        session = FakeSession()
        model = fake(session)
        async with batching() as batcher:
            session.free.clear()
            first = ask(batcher, model, 1)
            await settled(lambda: len(session.batches) == 1)
            others = [ask(batcher, model, *values) for values in ((2, 3), (4,), (5, 6, 7))]
            await settled(lambda: batcher._queue.rows == 6)
            session.free.set()
            assert (await first)["entropy"].tolist() == [1]
            assert [(await other)["entropy"].tolist() for other in others] == [[2, 3], [4], [5, 6, 7]]
            assert [len(batch) for batch in session.batches] == [1, 6]

    asyncio.run(scene())


def test_requests_that_want_different_outputs_share_a_batch() -> None:
    async def scene() -> None:
        session = FakeSession()
        model = fake(session)
        async with batching() as batcher:
            session.free.clear()
            first = ask(batcher, model, 1)
            await settled(lambda: len(session.batches) == 1)
            asked = [("energy",), ("logits", "entropy"), ("energy", "prediction")]
            others = [asyncio.ensure_future(batcher.predict(model, rows(2), outputs, PATIENCE)) for outputs in asked]
            await settled(lambda: batcher._queue.rows == 3)
            session.free.set()
            await first
            assert [tuple(await other) for other in others] == asked
            assert len(session.batches) == 2
            assert set(session.asked[1]) == {"energy", "logits", "entropy", "prediction", "mutual_information"}

    asyncio.run(scene())


def test_a_request_larger_than_a_batch_is_answered_whole_and_in_order() -> None:
    async def scene() -> None:
        sessions = [FakeSession(), FakeSession()]
        async with batching(most_batch=4, devices=2) as batcher:
            found = await ask(batcher, fake(*sessions), *range(50))
            assert found["entropy"].tolist() == list(range(50))
            assert max(len(batch) for session in sessions for batch in session.batches) == 4

    asyncio.run(scene())


def test_several_devices_share_the_work() -> None:
    async def scene() -> None:
        sessions = [FakeSession(), FakeSession()]
        model = fake(*sessions)
        async with batching(most_batch=1, devices=2) as batcher:
            for session in sessions:
                session.free.clear()
            both = [ask(batcher, model, 1), ask(batcher, model, 2)]
            await settled(lambda: all(session.batches for session in sessions))
            busy, idle = sessions
            idle.free.set()
            assert sum((await ask(batcher, model, 3))["entropy"]) == 3  # the busy one is not waited for
            assert len(busy.batches) == 1
            busy.free.set()
            await asyncio.gather(*both)

    asyncio.run(scene())


def test_a_full_queue_refuses_at_once_and_says_when_to_come_back() -> None:
    async def scene() -> None:
        session = FakeSession()
        model = fake(session)
        async with batching(most_rows=2, most_batch=1) as batcher:
            await ask(batcher, model, 0)
            session.free.clear()
            waiting = [ask(batcher, model, value) for value in (1, 2)]
            await settled(lambda: batcher._queue.rows == 1)
            waiting.append(ask(batcher, model, 3))
            await settled(lambda: batcher._queue.rows == 2)
            refusal = batcher.refusal()
            assert isinstance(refusal, QueueFull)
            assert "2 rows wait already, of at most 2" in refusal.message
            assert refusal.retry_after >= 1
            with pytest.raises(QueueFull):
                await ask(batcher, model, 4)
            session.free.set()
            assert [(await task)["entropy"][0] for task in waiting] == [1, 2, 3]
            assert batcher.refusal() is None

    asyncio.run(scene())


def test_rows_whose_time_is_up_are_not_computed() -> None:
    async def scene() -> None:
        session = FakeSession()
        model = fake(session)
        async with batching() as batcher:
            session.free.clear()
            first = ask(batcher, model, 1, seconds=0.05)
            await settled(lambda: len(session.batches) == 1)
            late = ask(batcher, model, 2, seconds=0.05)
            with pytest.raises(DeadlineExceeded, match="no device was free for these rows within 50 ms"):
                await late
            assert batcher._queue.rows == 0
            with pytest.raises(DeadlineExceeded, match="at work, but not done within 50 ms"):
                await first  # its device may never come back
            session.free.set()
            assert (await ask(batcher, model, 3))["entropy"].tolist() == [3]
            assert [batch[:, 0].tolist() for batch in session.batches] == [[1], [3]]

    asyncio.run(scene())


def test_a_client_that_goes_while_its_rows_wait_has_them_dropped() -> None:
    async def scene() -> None:
        session = FakeSession()
        model = fake(session)
        gone = asyncio.Event()
        async with batching() as batcher:
            session.free.clear()
            first = ask(batcher, model, 1)
            await settled(lambda: len(session.batches) == 1)
            leaving = ask(batcher, model, 2, 3, gone=gone.wait)
            staying = ask(batcher, model, 4)
            await settled(lambda: batcher._queue.rows == 3)
            gone.set()
            with pytest.raises(ClientGone):
                await leaving
            assert batcher._queue.rows == 1
            session.free.set()
            assert [(await task)["entropy"].tolist() for task in (first, staying)] == [[1], [4]]
            assert [batch[:, 0].tolist() for batch in session.batches] == [[1], [4]]

    asyncio.run(scene())


def test_a_client_that_goes_while_its_rows_are_at_work_harms_nobody() -> None:
    async def scene() -> None:
        session = FakeSession()
        model = fake(session)
        gone = asyncio.Event()
        async with batching() as batcher:
            session.free.clear()
            leaving = ask(batcher, model, 1, gone=gone.wait)
            await settled(lambda: len(session.batches) == 1)
            gone.set()
            with pytest.raises(ClientGone):
                await leaving
            staying = ask(batcher, model, 2)
            session.free.set()
            assert (await staying)["entropy"].tolist() == [2]

    asyncio.run(scene())


@pytest.mark.parametrize("at_work", [True, False])
def test_a_cancelled_future_does_not_end_the_loop(at_work: bool) -> None:
    async def scene() -> None:
        session = FakeSession()
        model = fake(session)
        async with batching() as batcher:
            session.free.clear()
            first = ask(batcher, model, 1)
            await settled(lambda: len(session.batches) == 1)
            cancelled = first if at_work else ask(batcher, model, 2)
            await asyncio.sleep(0)
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
            assert batcher._queue.rows == 0
            session.free.set()
            assert (await ask(batcher, model, 3))["entropy"].tolist() == [3]

    asyncio.run(scene())


def poisoned(inputs: NDArray[Any], outputs: Sequence[str]) -> Arrays:
    if (inputs == 13).any():
        raise RuntimeError("bad luck")
    return answer(inputs, outputs)


def not_finite(inputs: NDArray[Any], outputs: Sequence[str]) -> Arrays:
    found = answer(inputs, outputs)
    return {name: np.where(values == 13, np.nan, values) for name, values in found.items()}


@pytest.mark.parametrize(("run", "error"), [(poisoned, ModelFailed), (not_finite, OutputNotFinite)])
def test_one_request_s_failure_is_its_own(
    run: Any, error: type[ServiceError], caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> None:
        session = FakeSession(run)
        model = fake(session)
        async with batching() as batcher:
            session.free.clear()
            first = ask(batcher, model, 1)
            await settled(lambda: len(session.batches) == 1)
            tasks = [ask(batcher, model, *values) for values in ((2,), (3, 13), (4, 5))]
            await settled(lambda: batcher._queue.rows == 5)
            session.free.set()
            await first
            found = await asyncio.gather(*tasks, return_exceptions=True)
            assert isinstance(found[1], error)
            assert [found[at]["entropy"].tolist() for at in (0, 2)] == [[2], [4, 5]]
            assert (await ask(batcher, model, 6))["entropy"].tolist() == [6]

    with caplog.at_level(logging.CRITICAL):
        asyncio.run(scene())


def test_an_output_that_is_not_finite_matters_to_those_who_want_it() -> None:
    def run(inputs: NDArray[Any], outputs: Sequence[str]) -> Arrays:
        found = answer(inputs, outputs)
        return {name: values * np.nan if name == "energy" else values for name, values in found.items()}

    async def scene() -> None:
        session = FakeSession(run)
        model = fake(session)
        async with batching() as batcher:
            session.free.clear()
            first = ask(batcher, model, 1)
            await settled(lambda: len(session.batches) == 1)
            one = ask(batcher, model, 2)
            other = asyncio.ensure_future(batcher.predict(model, rows(3), ("energy",), PATIENCE))
            await settled(lambda: batcher._queue.rows == 2)
            session.free.set()
            await first
            assert (await one)["entropy"].tolist() == [2]
            with pytest.raises(OutputNotFinite, match="fake:1 gave NaN or infinity in energy"):
                await other

    asyncio.run(scene())


def test_a_batch_that_does_not_fit_memory_is_halved_and_counted() -> None:
    def run(inputs: NDArray[Any], outputs: Sequence[str]) -> Arrays:
        if len(inputs) > 3:
            raise DeviceOutOfMemory(f"no memory for {len(inputs)} rows")
        return answer(inputs, outputs)

    async def scene() -> None:
        session = FakeSession(run)
        model = fake(session)
        async with batching(most_batch=16) as batcher:
            session.free.clear()
            first = ask(batcher, model, 0)
            await settled(lambda: len(session.batches) == 1)
            tasks = [ask(batcher, model, *values) for values in ((1, 2, 3, 4, 5), (6,), (7, 8, 9, 10))]
            await settled(lambda: batcher._queue.rows == 10)
            session.free.set()
            await first
            found = [(await task)["entropy"].tolist() for task in tasks]
            assert found == [[1, 2, 3, 4, 5], [6], [7, 8, 9, 10]]
            assert [len(batch) for batch in session.batches] == [1, 10, 5, 2, 3, 5, 2, 3]
            assert b"masksembles_out_of_memory_total 3.0" in batcher._telemetry.render()

    asyncio.run(scene())


def test_a_row_that_does_not_fit_memory_is_an_error_and_the_process_lives() -> None:
    def run(inputs: NDArray[Any], outputs: Sequence[str]) -> Arrays:
        if (inputs == 13).any():
            raise DeviceOutOfMemory("no memory for 1 rows")
        return answer(inputs, outputs)

    async def scene() -> None:
        model = fake(FakeSession(run))
        async with batching() as batcher:
            with pytest.raises(OutOfMemory):
                await ask(batcher, model, 1, 13)
            assert (await ask(batcher, model, 2))["entropy"].tolist() == [2]

    asyncio.run(scene())


def test_a_lost_device_is_told_from_bad_rows_and_ends_readiness() -> None:
    async def scene() -> None:
        session = FakeSession(poisoned)
        model = FakeModel(session)
        model.healthy = False
        async with batching() as batcher:
            session.free.clear()
            tasks = [ask(batcher, model, 13)]  # type: ignore[arg-type]
            await settled(lambda: len(session.batches) == 1)
            tasks.append(ask(batcher, model, 2))  # type: ignore[arg-type]
            await settled(lambda: batcher._queue.rows == 1)
            session.free.set()
            found = await asyncio.gather(*tasks, return_exceptions=True)
            assert [type(error) for error in found] == [DeviceFailed, DeviceFailed]
            refusal = batcher.refusal()
            assert isinstance(refusal, DeviceFailed)
            assert refusal.message == "device 0 fails at what it did before; restart the service (bad luck)"
            with pytest.raises(DeviceFailed):
                await ask(batcher, model, 3)  # type: ignore[arg-type]

    asyncio.run(scene())


def test_the_others_go_on_without_a_lost_device() -> None:
    async def scene() -> None:
        sessions = [FakeSession(poisoned), FakeSession()]
        model = FakeModel(*sessions)
        model.healthy = False
        async with batching(most_batch=1, devices=2) as batcher:
            sessions[1].free.clear()
            tasks = [ask(batcher, model, 13), ask(batcher, model, 13)]  # type: ignore[arg-type]
            await settled(lambda: all(session.batches for session in sessions))
            sessions[1].free.set()
            found = await asyncio.gather(*tasks, return_exceptions=True)
            assert sorted(type(each).__name__ for each in found) == ["DeviceFailed", "dict"]
            assert batcher.refusal() is None
            assert (await ask(batcher, model, 2))["entropy"].tolist() == [2]  # type: ignore[arg-type]

    asyncio.run(scene())


@asynccontextmanager
async def impatient(devices: int = 1, most_batch: int = 1) -> AsyncIterator[Batcher]:
    """A batcher for which a run of a tenth of a second is stuck."""
    telemetry = Telemetry()
    watchdog = Watchdog(devices, telemetry, Patience(factor=1, floor=0.1, grace=3600))
    batcher = Batcher(Queue(1000, most_batch), devices, telemetry, watchdog)
    batcher.start()
    try:
        yield batcher
    finally:
        await batcher.close()


def test_a_stuck_device_refuses_at_once_and_works_again_when_it_comes_back() -> None:
    async def scene() -> None:
        session = FakeSession()
        model = fake(session)
        async with impatient() as batcher:
            session.free.clear()
            stuck, waits = ask(batcher, model, 1, seconds=0.2), ask(batcher, model, 2, seconds=0.2)
            for task in (stuck, waits):
                with pytest.raises(DeadlineExceeded):
                    await task
            await settled(lambda: batcher.watchdog.working == 0)
            assert isinstance(batcher.refusal(), DeviceStuck)
            with pytest.raises(DeviceStuck):
                await ask(batcher, model, 3)
            session.free.set()
            await settled(lambda: batcher.watchdog.working == 1)
            assert batcher.refusal() is None
            assert (await ask(batcher, model, 4))["entropy"].tolist() == [4]

    asyncio.run(scene())


def test_the_others_go_on_without_a_stuck_device_also_with_quick_models() -> None:
    async def scene() -> None:
        sessions = [FakeSession(), FakeSession()]
        model = FakeModel(*sessions)
        async with impatient(devices=2) as batcher:
            await settled(lambda: batcher._queue.takers == 2)
            for session in sessions:
                session.free.clear()
            both = [ask(batcher, model, 1), ask(batcher, model, 2)]  # type: ignore[arg-type]
            await settled(lambda: all(session.batches for session in sessions))
            sessions[1].free.set()
            await settled(lambda: not batcher.watchdog.works(0))
            await settled(lambda: batcher._queue.takers == 1)
            model.inline_max_rows = 8
            for value in range(3):
                await ask(batcher, model, value)  # type: ignore[arg-type]
            assert batcher.refusal() is None
            assert len(sessions[0].batches) == 1
            sessions[0].free.set()
            assert sum([(await task)["entropy"][0] for task in both]) == 3
            await settled(lambda: batcher.watchdog.working == 2)

    asyncio.run(scene())


def test_a_probe_that_hangs_is_stuck_too() -> None:
    async def scene() -> None:
        free = threading.Event()
        model = FakeModel(FakeSession(poisoned))
        model.probe = lambda index: free.wait(30)  # type: ignore[method-assign,assignment]
        async with impatient() as batcher:
            task = ask(batcher, model, 13)  # type: ignore[arg-type]
            await settled(lambda: batcher.watchdog.working == 0)
            free.set()
            with pytest.raises(ModelFailed):
                await task
            assert batcher.watchdog.working == 1

    asyncio.run(scene())


def test_closing_does_not_wait_for_a_stuck_device() -> None:
    async def scene() -> None:
        session = FakeSession()
        async with impatient() as batcher:
            session.free.clear()
            with pytest.raises(DeadlineExceeded):
                await ask(batcher, fake(session), 1, seconds=0.05)
            await settled(lambda: batcher.watchdog.working == 0)
            began = time.monotonic()
            await batcher.close()
            assert time.monotonic() - began < 4
            assert batcher.left_behind == ["device-0"]
            session.free.set()
            await settled(lambda: batcher.left_behind == [])

    asyncio.run(scene())


def test_a_quick_model_runs_in_the_event_loop_when_nothing_else_is_there() -> None:
    async def scene() -> None:
        session = FakeSession()
        model = FakeModel(session)
        model.inline_max_rows = 2
        async with batching() as batcher:
            await settled(lambda: batcher._queue.takers == 1)
            assert (await ask(batcher, model, 1, 2))["entropy"].tolist() == [1, 2]  # type: ignore[arg-type]
            tasks = [ask(batcher, model, value) for value in (3, 4, 5)]  # type: ignore[arg-type]
            assert [(await task)["entropy"][0] for task in tasks] == [3, 4, 5]
            assert session.batches[1].tolist() == [[3, 0]]  # the first of them; the others came in with it
            rendered = batcher._telemetry.render().decode()
            assert 'masksembles_batch_rows_sum{model="fake",version="1"} 5.0' in rendered

    asyncio.run(scene())


def test_what_fails_in_the_event_loop_is_tried_where_it_can_be_told_apart() -> None:
    async def scene() -> None:
        session = FakeSession(poisoned)
        model = FakeModel(session)
        model.inline_max_rows = 2
        async with batching() as batcher:
            await settled(lambda: batcher._queue.takers == 1)
            with pytest.raises(ModelFailed):
                await ask(batcher, model, 13)  # type: ignore[arg-type]
            assert len(session.batches) == 2

    asyncio.run(scene())


def test_a_delay_holds_for_quick_models_too() -> None:
    async def scene() -> None:
        session = FakeSession()
        model = FakeModel(session)
        model.inline_max_rows = 2
        batcher = Batcher(Queue(100, 8, delay=0.1), 1, Telemetry())
        batcher.start()
        await settled(lambda: batcher._queue.takers == 1)
        tasks = [ask(batcher, model, value) for value in (1, 2)]  # type: ignore[arg-type]
        assert [(await task)["entropy"][0] for task in tasks] == [1, 2]
        assert [len(batch) for batch in session.batches] == [2]
        await batcher.close()

    asyncio.run(scene())


def short(inputs: NDArray[Any], outputs: Sequence[str]) -> Arrays:
    return {name: values[:1] for name, values in answer(inputs, outputs).items()}


@pytest.mark.parametrize("quick", [0, 2])
def test_too_few_answers_are_an_error_and_not_a_request_without_end(quick: int) -> None:
    async def scene() -> None:
        model = FakeModel(FakeSession(short))
        model.inline_max_rows = quick
        async with batching() as batcher:
            await settled(lambda: batcher._queue.takers == 1)
            with pytest.raises(ModelFailed):
                await ask(batcher, model, 1, 2)  # type: ignore[arg-type]
            assert (await ask(batcher, model, 3))["entropy"].tolist() == [3]  # type: ignore[arg-type]

    asyncio.run(scene())


@pytest.mark.parametrize("place", ["join_inputs", "hand_out"])
def test_trouble_of_our_own_ends_the_requests_and_not_the_thread(
    place: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from app.engine import batcher as module

    def fail(*_: object) -> None:
        raise MemoryError("no memory")

    async def scene() -> None:
        model = fake(FakeSession())
        async with batching() as batcher:
            with monkeypatch.context() as patch:
                patch.setattr(module, place, fail)
                with pytest.raises(ModelFailed):
                    await ask(batcher, model, 1)
            assert (await ask(batcher, model, 2))["entropy"].tolist() == [2]

    with caplog.at_level(logging.CRITICAL):
        asyncio.run(scene())


def test_closing_finishes_what_was_accepted() -> None:
    async def scene() -> None:
        session = FakeSession()
        model = fake(session)
        batcher = Batcher(Queue(100, 2), 1, Telemetry())
        batcher.start()
        session.free.clear()
        tasks = [ask(batcher, model, value) for value in range(7)]
        await settled(lambda: len(session.batches) == 1)
        closing = asyncio.ensure_future(batcher.close())
        session.free.set()
        await closing
        assert [(await task)["entropy"][0] for task in tasks] == list(range(7))
        with pytest.raises(NotReady, match="stopping"):  # not full: to come back here would be in vain
            await ask(batcher, model, 8)
        assert isinstance(batcher.refusal(), NotReady)

    asyncio.run(scene())


def test_a_waiting_device_keeps_no_model_alive() -> None:
    async def scene() -> None:
        model = FakeModel(FakeSession())
        async with batching() as batcher:
            await ask(batcher, model, 1)  # type: ignore[arg-type]
            await settled(lambda: batcher._queue.takers == 1)
            await asyncio.sleep(0)
            alive = weakref.ref(model)
            del model
            gc.collect()
            assert alive() is None

    asyncio.run(scene())


def broken(inputs: NDArray[Any], outputs: Sequence[str]) -> Arrays:
    raise RuntimeError("bad luck")


@pytest.mark.parametrize("inline", [0, 8])
@pytest.mark.parametrize(
    ("run", "error"),
    [(broken, ModelFailed), (not_finite, OutputNotFinite), (answer, DeadlineExceeded), (answer, ClientGone)],
)
def test_a_request_that_fails_keeps_no_model_alive(
    run: Any, error: type[Exception], inline: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "app.engine.batcher")  # its records hold tracebacks, too

    async def scene() -> None:
        session = FakeSession(run)
        model = FakeModel(session)
        model.inline_max_rows = inline
        gone = asyncio.Event()
        async with batching() as batcher:
            if run is answer:  # it fails while another is at work
                session.free.clear()
                busy = FakeModel(session)
                first = ask(batcher, busy, 1)  # type: ignore[arg-type]
                await settled(lambda: len(session.batches) == 1)
            options = {"seconds": 0.05} if error is DeadlineExceeded else {"gone": gone.wait}
            failing = ask(batcher, model, 13, **options)  # type: ignore[arg-type]
            if error is ClientGone:
                await settled(lambda: batcher._queue.rows == 1)
                gone.set()
            with pytest.raises(error) as raised:
                await failing
            del failing, raised
            if run is answer:
                session.free.set()
                await first
            await settled(lambda: batcher._queue.takers == 1)
            await asyncio.sleep(0)
            alive = weakref.ref(model)
            del model
            assert alive() is None  # without the collector, which comes seldom

    gc.collect()
    gc.disable()
    try:
        asyncio.run(scene())
    finally:
        gc.enable()


@pytest.fixture(scope="module")
def models(digits_repository: Path, tiny_repository: Path) -> list[Model]:
    """Two models with real sessions, one of which may run in the event loop."""
    device = Device("cpu", "cpu", "for tests")
    found = [
        open_repository(folder, device).registry.find(None, None) for folder in (digits_repository, tiny_repository)
    ]
    loaded = [model for model in found if isinstance(model, Model)]
    loaded[1].inline_max_rows = 0
    return loaded


OUTPUTS = ("probabilities", "submodels", "entropy", "expected_entropy", "mutual_information", "energy", "logits")
REQUEST = st.fixed_dictionaries(
    {
        "model": st.integers(0, 1),
        "rows": st.integers(1, 40),
        "outputs": st.lists(st.sampled_from(OUTPUTS), min_size=1, unique=True),
        "after": st.sampled_from([0, 0, 0, 0.001, 0.003]),
        "leaves": st.sampled_from([None, None, None, 0.0, 0.001, 0.004]),
        "seed": st.integers(0, 2**32 - 1),
    }
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests=st.lists(REQUEST, min_size=1, max_size=24), most_batch=st.sampled_from([1, 3, 16, 64]))
def test_batched_answers_are_those_of_one_row_at_a_time(
    models: list[Model], requests: list[dict[str, Any]], most_batch: int
) -> None:
    async def client(batcher: Batcher, request: dict[str, Any]) -> tuple[NDArray[Any], Arrays] | None:
        await asyncio.sleep(request["after"])
        model = models[request["model"]]
        shape = model.contract.given.shape[1:]
        inputs = np.random.default_rng(request["seed"]).random((request["rows"], *shape), dtype=np.float32)
        task = asyncio.ensure_future(batcher.predict(model, {"input": inputs}, tuple(request["outputs"]), PATIENCE))
        if request["leaves"] is not None:
            await asyncio.sleep(request["leaves"])
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            return inputs, await task
        return None

    async def scene() -> list[tuple[NDArray[Any], Arrays] | None]:
        async with batching(most_rows=10_000, most_batch=most_batch) as batcher:
            return await asyncio.gather(*(client(batcher, request) for request in requests))

    for request, found in zip(requests, asyncio.run(scene())):
        if found is None:
            assert request["leaves"] is not None
            continue
        inputs, answers = found
        session = models[request["model"]].sessions[0]
        for at in range(len(inputs)):
            alone = session.run({"input": inputs[at : at + 1]}, request["outputs"])
            for name in request["outputs"]:
                np.testing.assert_allclose(answers[name][at], alone[name][0], rtol=1e-6, atol=1e-6)

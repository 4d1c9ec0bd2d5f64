"""Rows of several lengths in one batch, against the same rows alone."""

import asyncio
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from app.contract.axis import FreeAxis, Padding
from app.engine.batcher import Batcher
from app.engine.device import Device
from app.engine.job import Job, join_inputs
from app.engine.model import Model
from app.engine.queue import Queue
from app.engine.row_shapes import Feeds, RowShapes, buckets, sizes_to_try
from app.engine.session import Session
from app.failures import ModelRejected
from app.telemetry.metrics import Telemetry
from tests import dense_graphs

MODEL, CONTRACT = dense_graphs.tokens()
LENGTHS = [1, 2, 3, 5, 8, 9, 17, 24, 4, 6, 24, 1]


class CountedSession(Session):
    """Notes the shapes of its batches."""

    shapes: list[tuple[int, ...]]

    def run(self, inputs: Feeds, outputs: Any, seconds: float | None = None) -> dict[str, Any]:
        self.shapes.append(inputs["ids"].shape)
        return super().run(inputs, outputs, seconds)


@pytest.fixture(scope="module")
def model() -> Model:
    CountedSession.shapes = []
    session = CountedSession(MODEL.SerializeToString(), Device("cpu", "cpu", "to test"), free=True)
    return Model("tokens", 1, CONTRACT, [session])


def of_length(length: int, rows: int = 2) -> Feeds:
    ids = np.random.default_rng(length).integers(0, 9, (rows, length))
    return {"ids": ids, "real": np.ones((rows, length), bool)}


def test_batches_have_a_few_sizes_each_twice_the_one_before() -> None:
    assert buckets(FreeAxis(least=1, most=24, padding=Padding())) == (1, 2, 4, 8, 16, 24)
    assert buckets(FreeAxis(least=6, most=20, multiple_of=2, padding=Padding())) == (6, 12, 20)
    assert buckets(FreeAxis(least=7, most=7, padding=Padding())) == (7,)


def test_every_size_of_a_batch_is_tried_before_a_model_is_trusted(model: Model) -> None:
    assert [sizes["T"] for sizes in sizes_to_try(CONTRACT)] == [1, 2, 4, 8, 16, 24]
    assert {shape[1] for shape in cast(CountedSession, model.sessions[0]).shapes[:7]} == {1, 2, 4, 8, 16, 24}


def test_shorter_rows_are_filled_up_as_the_contract_says() -> None:
    joined = RowShapes(CONTRACT).join([of_length(3, 1), of_length(5, 2)])
    assert joined["ids"].shape == joined["real"].shape == (3, 8)
    assert joined["ids"][0].tolist() == [*of_length(3, 1)["ids"][0].tolist(), 9, 9, 9, 9, 9]
    assert joined["real"].tolist() == [[True] * 3 + [False] * 5] + [[True] * 5 + [False] * 3] * 2
    assert joined["ids"].dtype == np.int64
    assert joined["real"].dtype == np.bool_


def test_rows_of_a_batch_s_size_are_not_copied() -> None:
    rows = of_length(8)
    assert np.shares_memory(RowShapes(CONTRACT).join([rows])["ids"], rows["ids"])


def test_short_and_long_requests_share_a_batch(model: Model) -> None:
    queue = Queue(1000, 64)
    jobs = [Job(model, of_length(length), ("probabilities",), cast(Any, None)) for length in LENGTHS]
    for job in jobs:
        queue.put(job)
    batch = queue.take()
    assert batch is not None
    assert [part.job for part in batch] == jobs
    assert join_inputs(batch)["ids"].shape == (24, 24)


def test_what_the_longest_row_makes_of_a_batch_bounds_it(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "most_values", 2 * 8 * 3)  # three rows of up to 8 tokens and marks, or one of 24
    queue = Queue(1000, 64)
    for length in (3, 24, 3):
        queue.put(Job(model, of_length(length), ("probabilities",), cast(Any, None)))
    taken = [[part.rows for part in queue.take() or []] for _ in range(4)]
    assert taken == [[2], [1], [1], [2]]


def test_answers_are_those_of_each_request_alone(model: Model) -> None:
    names = ("probabilities", "entropy", "mutual_information")
    inputs = [of_length(length, 1 + index % 3) for index, length in enumerate(LENGTHS)]

    async def scene() -> list[dict[str, NDArray[Any]]]:
        batcher = Batcher(Queue(1000, 64), 1, Telemetry())
        batcher.start()
        try:
            return await asyncio.gather(*(batcher.predict(model, one, names, 30) for one in inputs))
        finally:
            await batcher.close()

    for one, found in zip(inputs, asyncio.run(scene())):
        alone = model.sessions[0].run(one, names)
        for name in names:
            np.testing.assert_allclose(found[name], alone[name], atol=1e-6)


def test_a_model_that_cannot_run_on_its_padding_is_rejected() -> None:
    padding = Padding(fill={"ids": 10}, mark="real")  # the embedding has ten rows
    axes = {"T": CONTRACT.axes["T"].model_copy(update={"padding": padding})}
    session = Session(MODEL.SerializeToString(), Device("cpu", "cpu", "to test"), free=True)
    with pytest.raises(ModelRejected, match="its first run on 2 rows"):
        Model("tokens", 1, CONTRACT.model_copy(update={"axes": axes}), [session])

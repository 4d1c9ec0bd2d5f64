import asyncio
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from app.engine.bare_model import Servable
from app.engine.job import Job, Slice, halves, hand_out, join_inputs
from app.errors import OutputNotFinite
from tests.app.engine.fakes import FakeSession, FreeModel, fake, rows


def job(loop: asyncio.AbstractEventLoop, *values: float) -> Job:
    return Job(fake(FakeSession()), rows(*values), ("entropy",), loop.create_future())


def test_a_batch_is_halved_within_a_slice_where_the_middle_lies_there() -> None:
    async def scene() -> None:
        loop = asyncio.get_running_loop()
        small, large = job(loop, 1), job(loop, 2, 3, 4, 5)
        assert halves([small.whole, large.whole]) == (
            [Slice(small, 0, 1), Slice(large, 0, 1)],
            [Slice(large, 1, 4)],
        )
        assert halves([Slice(large, 1, 3)]) == ([Slice(large, 1, 2)], [Slice(large, 2, 3)])

    asyncio.run(scene())


def test_rows_are_joined_in_order() -> None:
    async def scene() -> None:
        loop = asyncio.get_running_loop()
        first, second = job(loop, 1, 2, 3), job(loop, 4)
        joined = join_inputs([Slice(first, 1, 3), second.whole])
        assert joined.keys() == {"input"}
        np.testing.assert_array_equal(joined["input"], rows(2, 3, 4)["input"])
        assert join_inputs([first.whole])["input"] is first.inputs["input"]

    asyncio.run(scene())


def test_each_gets_its_own_rows_and_only_who_has_them_learns_of_nan() -> None:
    async def scene() -> None:
        loop = asyncio.get_running_loop()
        good, bad = job(loop, 1, 2), job(loop, 3)
        hand_out([good.whole, bad.whole], {"entropy": np.array([1, 2, np.nan])})
        assert (await good.future)["entropy"].tolist() == [1, 2]
        with pytest.raises(OutputNotFinite, match="fake:1 gave NaN or infinity in entropy"):
            await bad.future

    asyncio.run(scene())


def test_where_nothing_says_so_outputs_need_not_be_finite() -> None:
    async def scene() -> None:
        bare = job(asyncio.get_running_loop(), 1)
        bare.model.finite_outputs = False
        hand_out([bare.whole], {"entropy": np.array([np.inf])})
        assert (await bare.future)["entropy"].tolist() == [np.inf]

    asyncio.run(scene())


def test_inputs_of_a_model_without_a_contract_are_one_row_as_they_are() -> None:
    model = SimpleNamespace(shapes=None, most_values=None)
    inputs = {"x": np.zeros((3, 4)), "flag": np.array(True)}
    bare = Job(cast(Servable, model), inputs, ("y",), cast(Any, None))
    assert (bare.rows, bare.sizes, bare.row_values) == (1, (), 0)
    assert bare.whole.inputs is inputs
    assert join_inputs([bare.whole]) is inputs


def test_it_knows_what_its_rows_share_with_others_and_how_large_they_are() -> None:
    model = FreeModel(FakeSession())
    free = Job(cast(Servable, model), {"input": np.zeros((2, 7), np.float32)}, ("entropy",), cast(Any, None))
    assert (free.rows, free.sizes, free.row_values) == (2, (7,), 0)  # nothing bounds this model's values
    model.most_values = 100
    free = Job(cast(Servable, model), {"input": np.zeros((2, 7), np.float32)}, ("entropy",), cast(Any, None))
    assert free.row_values == 7

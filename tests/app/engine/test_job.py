import asyncio

import numpy as np
import pytest

from app.engine.job import Job, Slice, halves, hand_out, join_inputs
from app.errors import OutputNotFinite
from tests.app.engine.fakes import FakeSession, fake, rows


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


@pytest.mark.parametrize("large_bytes", [2**20, 0])  # copied in one piece, or by NumPy
def test_rows_are_joined_in_order(monkeypatch: pytest.MonkeyPatch, large_bytes: int) -> None:
    monkeypatch.setattr("app.engine.job._LARGE_BYTES", large_bytes)

    async def scene() -> None:
        loop = asyncio.get_running_loop()
        first, second = job(loop, 1, 2, 3), job(loop, 4)
        joined = join_inputs([Slice(first, 1, 3), second.whole])
        np.testing.assert_array_equal(joined, rows(2, 3, 4))
        assert np.shares_memory(join_inputs([first.whole]), first.inputs)

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

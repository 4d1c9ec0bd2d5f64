import numpy as np
import pytest

from models.evaluation import head_session
from models.evaluation.head_session import HeadSession
from tests import artefacts, dense_graphs
from tests.models.evaluation.tasks.segmented import SIZES, K, pictures
from tests.models.evaluation.two_heads import two_heads

ROWS = np.random.default_rng(0).random((10, 7), np.float32)


def test_outputs_have_plain_names() -> None:
    model, contract = two_heads()
    for head in contract.heads:
        found = HeadSession(model, contract, head).run({"scene": ROWS[:, :4], "state": ROWS[:, 4:]}, ["prediction"])
        assert {name: len(values) for name, values in found.items()} == {"prediction": 10}


@pytest.mark.parametrize(("most", "lengths"), [(2**23, [10]), (3 * 8 * 16 * K * 2, [3, 3, 3, 1]), (1, [1] * 10)])
def test_the_larger_the_maps_the_fewer_rows_are_run_at_once(
    most: int, lengths: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head_session, "_VALUES_AT_ONCE", most)
    model, contract = dense_graphs.segmentation()
    inputs = pictures(count=10)
    parts = list(HeadSession(model, contract, contract.head).run_in_parts(inputs, ["logits"]))
    assert [len(found["logits"]) for _, found in parts] == lengths
    assert parts[0][1]["logits"].shape[1:] == (2, K, *SIZES)
    whole = artefacts.run(model, inputs, ["logits"])["logits"]
    for rows, found in parts:
        np.testing.assert_allclose(found["logits"], whole[rows], rtol=1e-6)

from collections.abc import Iterator

import numpy as np
import onnxruntime

from app.contract.tensor import Tensor
from models.data import Split
from models.evaluation.answers import Answers
from models.evaluation.respondent import Respondent
from tests import artefacts, graphs
from tests.models.evaluation.two_heads import two_heads

GIVEN = Tensor(name="input", dtype="float32", shape=("B", 4), unit="feature")
ROWS = np.random.default_rng(0).random((300, 4), np.float32)  # more than are run at once


def test_every_output_of_the_contract_is_there_for_every_row() -> None:
    model, contract = graphs.classifier(GIVEN, "abc", 2)
    found = Respondent(model, contract, contract.head).answer(Split(ROWS, np.arange(300)))
    assert len(found) == 300
    names = [tensor.name for tensor in contract.outputs]
    assert list(found.outputs) == names
    for name, values in artefacts.run(model, ROWS, names).items():
        np.testing.assert_allclose(found.outputs[name], values, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found.labels, np.arange(300))


def test_corrupted_rows_are_answered_one_kind_after_the_other() -> None:
    model, contract = graphs.classifier(GIVEN, "abc", 2)
    begun: list[int] = []

    def corrupted() -> Iterator[tuple[str, int, Split]]:
        for severity in (1, 2):
            begun.append(severity)
            yield "noise", severity, Split(ROWS[:severity], np.zeros(severity, np.int64))

    answered = Respondent(model, contract, contract.head).answer_corrupted(corrupted())
    kind, severity, found = next(iter(answered))
    assert (kind, severity, len(found), begun) == ("noise", 1, 1, [1])
    assert isinstance(found, Answers)


def test_each_head_has_outputs_by_plain_name() -> None:
    model, contract = two_heads()
    rows = {"scene": ROWS, "state": ROWS[:, :3]}
    named = [tensor.name for tensor in contract.outputs]
    session = onnxruntime.InferenceSession(model.SerializeToString())
    whole = dict(zip(named, session.run(named, rows)))
    for head in contract.heads:
        found = Respondent(model, contract, head).outputs(rows)
        assert list(found) == [tensor.name for tensor in head.outputs]
        for name, values in found.items():
            np.testing.assert_allclose(values, whole[head.graph_name(name)], rtol=1e-5, atol=1e-6)

import pytest
from sklearn.metrics import roc_auc_score

from models.evaluation import head_session
from models.evaluation.cell_detection import SCORES, detect_cells
from models.evaluation.head_session import HeadSession
from tests import artefacts, dense_graphs
from tests.models.evaluation.tasks.segmented import pictures


@pytest.mark.parametrize("at_once", [2**23, 1])
def test_cells_are_ranked_over_all_rows(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head_session, "_VALUES_AT_ONCE", at_once)
    model, contract = dense_graphs.segmentation()
    inputs = pictures(count=40)
    strange = inputs[:, 0] > 200
    found = detect_cells(HeadSession(model, contract, contract.head), inputs, strange)
    served = artefacts.run(model, inputs, ["entropy", "mutual_information", "energy", "probabilities"])
    served["max_probability"] = 1 - served.pop("probabilities").max(axis=1)
    assert list(found) == list(SCORES)
    for name, values in served.items():
        assert found[name]["auroc"] == pytest.approx(roc_auc_score(strange.ravel(), values.ravel()), abs=1e-6)

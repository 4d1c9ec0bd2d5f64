"""Recalibrates a head on rows from where it is used, and tests the result on a third of them that is kept aside. No
torch here."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from scipy.stats import chi2_contingency

from app.contract.calibration import Calibration
from app.contract.head import Head
from app.contract.schema import Contract
from models.data import Split
from models.data.dataset import shuffled
from models.data.field import FieldRows
from models.evaluation.adequacy import CalibrationError
from models.evaluation.answers import Answers
from models.evaluation.calibration import calibrate
from models.evaluation.comparison import Comparison, compare
from models.evaluation.respondent import Respondent
from models.evaluation.rest_of_graph import as_inputs, rest_of_graph

DATA = "feedback"
"""What a calibration says it was made on."""
LEAST_ROWS = 300
"""Fewer are refused: a third each fits the scale, gives the guarantees and tests them."""
SEED = 1
"""Of the draw of the rows that are kept aside; that of the two other thirds is `calibrate`'s."""
_CHANCE = 0.01
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recalibration:
    """A head's new calibration, and how it fares on the rows kept aside."""

    calibration: Calibration
    comparison: Comparison
    test: Answers
    """Answers to the rows kept aside, with the new temperature."""


def recalibrate(
    model: onnx.ModelProto,
    contract: Contract,
    head: Head,
    rows: FieldRows,
    *,
    coverages: Sequence[float] | None = None,
    risks: Sequence[float] | None = None,
) -> Recalibration:
    """Calibrates as `models.evaluation.calibration` does; the model stays as it is.

    Raises:
        CalibrationError: there are too few rows, or they cannot bear a calibration.
    """
    if len(rows) < LEAST_ROWS:
        raise CalibrationError(
            f"calibration: {len(rows)} rows have a truth, and {LEAST_ROWS} are needed: a third fits the scale, a third "
            "gives the guarantees, and a third tests them"
        )
    rest, own = rest_of_graph(model, contract, head)
    split = Split(as_inputs(head, rows.outputs), rows.labels)
    order = shuffled(len(split), SEED)
    aside, seen = split.take(order[::3]), split.take(np.delete(order, np.s_[::3]))
    old = Respondent(rest, own, head).answer(aside)
    found = calibrate(rest, own, head, DATA, seen, coverages=coverages, risks=risks)  # sets the temperature of `rest`
    selected = selection_warnings(rows.decided)
    for warning in selected:
        _log.warning("calibrate: %s", warning)
    found = found.model_copy(update={"warnings": (*found.warnings, *selected)})
    changed = head.model_copy(update={"calibration": found, "policy": None, "evaluation": None})
    new = Respondent(rest, own, changed).answer(aside)
    return Recalibration(found, compare(head, old, changed, new), new)


def selection_warnings(decided: Mapping[str, tuple[int, int]]) -> list[str]:
    """A warning if truths came back for another share of the rows with one decision than of those with another.

    Then they are no random sample, and a calibration on them holds for such rows alone.

    Args:
        decided: see `FieldRows`.
    """
    shares = {action: (known, rows - known) for action, (rows, known) in decided.items() if rows}
    table = np.array(list(shares.values()))
    if len(table) < 2 or not table.any(axis=0).all() or chi2_contingency(table).pvalue >= _CHANCE:
        return []
    told = ", ".join(
        f"{100 * known / (known + unknown):.1f} % of {action or 'those without one'}"
        for action, (known, unknown) in shares.items()
    )
    return [
        f"truths came back for another share of the rows by decision ({told}): they are no random sample, so what was "
        "fitted and guaranteed need not hold for the other rows"
    ]

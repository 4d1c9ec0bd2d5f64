"""Measures an artefact as it is served: its own outputs, through onnxruntime, on labelled rows. No torch here."""

import onnx

from app.contract.head import Head
from app.contract.schema import Contract
from app.contract.tasks import Evaluation
from models import progress
from models.data import Split
from models.evaluation.answers import Answers
from models.evaluation.respondent import Respondent
from models.evaluation.rows import check_rows
from models.evaluation.tasks import evaluator_of


@progress.step("evaluate")
def evaluate(model: onnx.ModelProto, contract: Contract, head: Head, data: str, split: Split) -> Evaluation:
    """A head's figures on a split that `data` names, as its task defines them.

    Raises:
        DatasetError: the split does not fit the contract; see `check_rows`.
    """
    check_rows(contract, split)
    return evaluate_answers(head, data, Respondent(model, contract, head).answer(split))


def evaluate_answers(head: Head, data: str, answers: Answers) -> Evaluation:
    """The same for answers that are already available."""
    return evaluator_of(head).evaluate(head, data, answers)

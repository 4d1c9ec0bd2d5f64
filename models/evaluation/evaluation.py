"""Measures an artefact as it is served: its own outputs, through onnxruntime, on labelled rows. No torch here."""

import onnx

from app.contract.schema import Contract
from app.contract.tasks import Evaluation
from models.data import Split
from models.evaluation.answers import Answers, Respondent
from models.evaluation.rows import check_rows
from models.evaluation.tasks import TASKS


def evaluate(model: onnx.ModelProto, contract: Contract, data: str, split: Split) -> Evaluation:
    """An artefact's figures on a split that `data` names, as its task defines them.

    Raises:
        DatasetError: the split does not fit the contract; see `check_rows`.
    """
    check_rows(contract, split)
    return evaluate_answers(contract, data, Respondent(model, contract).answer(split))


def evaluate_answers(contract: Contract, data: str, answers: Answers) -> Evaluation:
    """The same for answers that are already available."""
    return TASKS[contract.task].evaluate(contract, data, answers)

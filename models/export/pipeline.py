"""The compiler, step by step: adopt, trace, fold and compact, head, contract, calibrate, verify, publish."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from app.contract.calibration import Calibration
from app.contract.head import Head
from app.contract.policy import parse, resolve
from app.contract.repository import check_name
from app.contract.schema import Contract
from models import artefact, progress
from models.evaluation.adequacy import check_number
from models.evaluation.calibration import calibrate, check_guarantees
from models.evaluation.evaluation import evaluate
from models.evaluation.rows import check_rows
from models.export.adopted import adopt_networks, members
from models.export.axes import Dims, check_sizes, dims, traceable, violated
from models.export.contract import describe
from models.export.fast_path import no_fast_path
from models.export.grid import describe_heads
from models.export.heads import named_task
from models.export.inputs import describe_inputs, named_examples, varied_rows
from models.export.options import ExportOptions
from models.export.plans import compile_plans
from models.export.preprocess import preprocess_each
from models.export.row_independence import check_independence
from models.export.served import Interface
from models.export.trace import trace
from models.export.verification import verify_plans
from models.given import Tensors, each, rows_of

_ROWS_TO_VERIFY = 512

_log = logging.getLogger(__name__)


@no_fast_path()
def export(
    network: nn.Module | Sequence[nn.Module],
    example_input: Tensor | Mapping[str, Tensor],
    options: ExportOptions,
    *,
    name: str,
    repository: Path | str = artefact.REPOSITORY,
    version: int | None = None,
) -> Path:
    """Writes a network as a new version in a model repository and returns the file's path.

    `model.onnx` folds the submodels into the batch and runs everywhere. If dropping the channels that a submodel
    never sees pays off on a device, that plan is stored beside it as `model.cpu.onnx` or `model.cuda.onnx`.

    Args:
        network: of a classifier, [B, …] → logits [B, K], or [B, 1] for two classes, the logit being that of the second;
            of a multilabel model, [B, …] → logits [B, K], one for each label;
            of a regressor, [B, …] → [B, D] means, or [B, 2·D] means and then ln variances, in units of the targets and
            their squares (`models.networks.gaussian`). Axes after these are the grid of a dense head, [B, K, H, W].
            With several heads, a tuple of such tensors, or a dict.
            With Masksembles layers of any known kind (see `models.adopt`), or without, which gives a model of one
            submodel. Two or more networks without masks, trained independently, become the submodels of a deep
            ensemble, in one file.
        example_input: at least one row in natural units, of type float32, uint8 (divided by 255 in the graph), int64,
            int32 or bool; of several inputs, each by its name.
        options: see `ExportOptions`.
        name: of the model in the repository.
        version: to write; the next one by default. An existing one is never overwritten.

    Raises:
        ValueError: the network cannot be exported, labels, targets, task, example or data do not fit it, coverages or
            risks cannot be guaranteed, or the policy names a score that the model does not have.
        FileExistsError: the version exists.
        VerificationError: the artefact does not answer as the network does; nothing is written.
    """
    check_name(name)
    examples = named_examples(example_input, options)
    inputs = describe_inputs(examples, options)
    # what is wrong with the options shows before minutes of tracing and compiling
    for asked in options.head_options.values():
        check_guarantees(named_task(asked).task, asked.coverages, asked.risks)
        if asked.policy is not None:
            parse(asked.policy)
    shapes = [given.shape[1:] for given in inputs]
    preprocess = preprocess_each(
        (asked.normalise for asked in options.input_options.values()),
        [[size if isinstance(size, int) else 1 for size in given.shape] for given in inputs],
    )
    rows = varied_rows(tuple(examples.values()), inputs, options.axes)
    example = each(preprocess(*traceable(tuple(examples.values()), shapes, options.axes)))

    adopted = adopt_networks(network, example, options)
    # the network itself and not its trace, so that a mistake of the tracing shows, too
    reference = Reference(preprocess, adopted).eval()
    with progress.step("trace"):
        check_sizes(reference, rows, shapes, options.axes)
        free = dims(shapes, options.axes)
        traced = [_trace(member, example, free, options) for member in members(adopted)]
        heads = describe_heads(traced, shapes, options)
        for graph in traced:
            # three different rows: one alone, or equal ones, would hide an operation that mixes them
            check_independence(graph, preprocess(*rows_of(rows, slice(3))))
    described = describe(adopted, inputs, heads, options)
    _check_splits(described, options)  # before the compiler, which takes longest
    interface = Interface(preprocess, dict(zip(examples, rows)), heads, free)
    with progress.step("compile"):
        plans = compile_plans(adopted, traced, interface, options)
    contract = _measure(plans.folded, described.model_copy(update={"compilation": plans.compilation}), options)
    # calibrated once, on the portable plan: all plans get its temperatures and one contract
    finished = plans.embed(contract)
    with progress.step("verify"):
        verify_plans(finished.by_name(), contract, reference, _rows_to_verify(rows, contract, options))
    return artefact.write(finished.folded, Path(repository), name, version, finished.models())


class Reference(nn.Sequential):
    """A network with its preprocessing: inputs in natural units in."""

    def forward(self, *inputs: Tensor) -> Tensors:
        preprocess, network = self
        return network(*each(preprocess(*inputs)))  # type: ignore[no-any-return]


def _trace(network: nn.Module, example: Tensors, free: Sequence[Dims], options: ExportOptions) -> GraphModule:
    try:
        return trace(network, example, free)
    except ValueError as error:
        if error.__cause__ is not None and (told := violated(error.__cause__, options.axes)) is not None:
            raise ValueError(told) from error
        raise


def _check_splits(contract: Contract, options: ExportOptions) -> None:
    """Checks the rows to calibrate and to evaluate on, which `_measure` would refuse later."""
    if options.calibration is not None:
        check_rows(contract, options.calibration)
        check_number(len(options.calibration))
    if options.evaluation is not None:
        check_rows(contract, options.evaluation)


def _measure(model: onnx.ModelProto, contract: Contract, options: ExportOptions) -> Contract:
    """Adds calibration, policy and evaluation of each head to the contract; sets the model's temperatures."""
    for place, asked in enumerate(options.head_options.values()):
        if options.calibration is not None:
            head = contract.heads[place]
            fitted = calibrate(
                model, contract, head, options.data, options.calibration,
                coverages=asked.coverages, risks=asked.risks,
            )  # fmt: skip
            _tell(head, fitted)
            contract = contract.with_head(head, calibration=fitted)
        if asked.policy is not None:
            head = contract.heads[place]
            contract = contract.with_head(head, policy=resolve(parse(asked.policy), [head])[head.name])
        if options.evaluation is not None:
            head = contract.heads[place]
            figures = evaluate(model, contract, head, options.data, options.evaluation)
            contract = contract.with_head(head, evaluation=figures)
    return contract


def _tell(head: Head, fitted: Calibration) -> None:
    if fitted.nll_before is not None:
        of = f" {head.name}" if head.name else ""
        figures = (fitted.temperature, fitted.nll_before, fitted.nll_after)
        _log.info("calibrate%s: temperature %.4f, NLL %.4f → %.4f", of, *figures)


def _rows_to_verify(rows: tuple[Tensor, ...], contract: Contract, options: ExportOptions) -> tuple[Tensor, ...]:
    """Real rows if there are any: made-up ones may all fall into one class."""
    if options.calibration is None:
        return rows
    found = options.calibration.inputs_by_name(contract).values()
    return tuple(torch.from_numpy(array[:_ROWS_TO_VERIFY]) for array in found)

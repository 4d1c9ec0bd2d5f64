"""The compiler from a PyTorch network to an artefact: adopt, trace, fold, compact, head, artefact, verify, store."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version as installed
from math import inf, isfinite
from pathlib import Path
from typing import Any, Literal

import onnx
import torch
from torch import Tensor, nn

from app.contract import schema
from app.contract.policy import parse, resolve
from app.contract.repository import check_name
from app.contract.tasks import classification, regression
from app.contract.tensor import Tensor as ContractTensor
from models import artefact, masks
from models.adopt import adopt
from models.data import Split
from models.evaluation.calibration import calibrate, check_promises
from models.evaluation.evaluation import evaluate
from models.export.cost import DeviceName, PlanName
from models.export.head import Classifier, Normalise, Preprocess, Regressor
from models.export.plans import MakeHead, Precision, beside, make
from models.export.rows import check_rows
from models.export.trace import trace
from models.export.verify import verify, verify_float16
from models.layers import DeepEnsemble, FrozenDropout, count, digest, layers

_ROWS, _ROWS_FOR_HALF = 64, 512

_log = logging.getLogger(__name__)


def export(
    network: nn.Module | None = None,
    example_input: Tensor | None = None,
    *,
    networks: Sequence[nn.Module] | None = None,
    name: str,
    labels: Sequence[str] | None = None,
    targets: Sequence[tuple[str, str]] | None = None,
    store: Path | str = artefact.REPOSITORY,
    version: int | None = None,
    normalise: Normalise | None = None,
    calibration: Split | None = None,
    evaluation: Split | None = None,
    data: str = "",
    coverages: Sequence[float] | None = None,
    risks: Sequence[float] | None = None,
    value_range: tuple[float, float] | None = None,
    unit: str = "",
    layout: str | None = None,
    colour: Literal["grey", "rgb"] | None = None,
    resize: Literal["stretch", "crop"] | None = None,
    recipe: dict[str, Any] | None = None,
    policy: str | None = None,
    devices: Sequence[DeviceName] = ("cpu",),
    plan: PlanName | None = None,
    tune: bool = False,
    precision: Precision = "float32",
    mc_dropout: int | None = None,
    seed: int = 0,
) -> Path:
    """Writes a classifier or a regressor as a new version in a store and returns the file's path.

    `model.onnx` folds the submodels into the batch and runs everywhere. Where dropping the channels that a submodel
    never sees is worth it on a device, that plan lies beside it as `model.cpu.onnx` or `model.cuda.onnx`.

    Args:
        network: of a classifier, [B, …] → logits [B, K], or [B, 1] for two classes, the logit being that of the second;
            of a regressor, [B, …] → [B, D] means, or [B, 2·D] means and then ln variances, in units of the targets and
            their squares (`models.networks.gaussian`). With Masksembles layers of any known kind (see `models.adopt`),
            or without, when it becomes a model of one submodel.
        networks: instead of `network`, two or more without masks, trained by themselves: they become the submodels of a
            deep ensemble, in one file.
        example_input: at least one row in natural units, float32 or uint8 (uint8 is divided by 255 in the graph).
        name: of the model in the store.
        labels: the K class names in order, for a classifier.
        targets: instead, the names and units of the D numbers that a regressor predicts.
        version: to write; the next one by default. An existing one is never overwritten.
        normalise: (mean, std), a number or one for each channel on axis 1, put into the graph before the network.
        calibration: held-out rows for the temperature, the scores' quantiles and what can be promised (see
            `models.evaluation.calibration`); without it the temperature is 1.
        evaluation: rows that took part in nothing else, for the figures in the contract.
        data: the name of the data that both come from.
        coverages, risks: to promise, instead of those of `models.evaluation.conformal`; risks of a classifier alone.
        value_range: smallest and largest value an input may have; the service refuses others.
        unit, layout, colour: what an input value is, a letter for each axis (BCHW), and grey or rgb for pictures. With
            layout, colour and, for float32, value_range, the service also takes picture files.
        resize: how it makes pictures of another size fit; by default it refuses them.
        recipe: settings of the training, kept in the contract.
        policy: what to do with an answer, such as `reject energy>c99, defer entropy>r5` (see `app.contract.policy`).
        devices: that may get a plan of their own.
        plan: force this plan for them, instead of choosing by a fixed rule (`models.export.cost`).
        tune: choose by measuring on this machine instead.
        precision: `float16` for everything before the last layer, of a classifier.
        mc_dropout: freeze the network's dropout into so many submodels, their masks drawn from `seed`.

    Raises:
        ValueError: the network cannot be exported, labels, targets, example or data do not fit it, coverages or risks
            cannot be promised, or the policy names what the model does not have.
        FileExistsError: the version exists.
        VerificationError: the artefact does not answer as the network does; nothing is written.
    """
    check_name(name)
    if example_input is None:
        raise ValueError("example_input: expected at least one row")
    if example_input.dtype not in (torch.float32, torch.uint8):
        raise ValueError(f"example_input must be float32 or uint8, got {example_input.dtype}")
    if resize is not None and (layout is None or colour is None):
        raise ValueError("resize: only pictures have another size, say which axis is what with layout and colour")
    if plan is not None and tune:
        raise ValueError("plan and tune: a plan is either forced or measured")
    if (labels is None) == (targets is None):
        raise ValueError("labels, targets: give one of the two")
    if targets is not None and precision != "float32":
        raise ValueError("precision: a regressor's numbers stay in float32")
    if calibration is None and (coverages is not None or risks is not None):
        raise ValueError("coverages, risks: nothing can be promised without rows for the calibration")
    check_promises("classification" if targets is None else "regression", coverages, risks)
    rules = None if policy is None else parse(policy)
    natural = Preprocess(normalise, example_input.shape)
    example = natural(example_input)
    adopted = _adopt(network, networks, example, mc_dropout, seed)
    members = list(adopted.members) if isinstance(adopted, DeepEnsemble) else [adopted]
    traced = [trace(member, example) for member in members]
    few = _varied(example_input, value_range)
    widths = {graph.graph.output_node().all_input_nodes[0].meta["val"].shape[1] for graph in traced}
    head, outputs = _head(widths, labels, targets)
    for graph in traced:
        check_rows(graph, natural(few[:3]))

    if isinstance(adopted, DeepEnsemble):
        if plan is not None or tune:
            raise ValueError("plan and tune: the networks of a deep ensemble share nothing, there is only one plan")
        made = beside(traced, natural, few, head=head, precision=precision)
    else:
        made = make(
            adopted,
            traced[0],
            natural,
            few,
            head=head,
            devices=devices,
            forced=plan,
            tune=tune,
            precision=precision,
        )
    model = made.folded

    given = ContractTensor(
        name="input",
        dtype="uint8" if example_input.dtype == torch.uint8 else "float32",
        shape=("B", *example_input.shape[1:]),
        unit=unit,
        range=value_range,
        layout=layout,
        colour=colour,
        resize=resize,
    )
    contract = schema.Contract(
        task="classification" if targets is None else "regression",
        method=_method(adopted),
        num_submodels=count(adopted),
        masks=_masks(adopted) if layers(adopted) else None,
        inputs=(given,),
        outputs=outputs,
        labels=tuple(labels or ()),
        targets=tuple(schema.Target(name=what, unit=measure) for what, measure in targets or ()),
        precision=precision,
        compilation=made.compilation,
        origin=schema.Origin(
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            software={name: installed(name) for name in ("torch", "onnx", "onnxscript")},
            recipe=recipe or {},
        ),
    )
    for index, layer in enumerate(contract.masks.layers if contract.masks else ()):
        scale = "∞" if layer.effective_scale is None else f"{layer.effective_scale:.2f}"
        _log.info("masks %d: %d of %d channels kept, effective scale %s", index, layer.kept, layer.channels, scale)
    if calibration is not None:
        fitted = calibrate(model, contract, data, calibration, coverages=coverages, risks=risks)
        if fitted.nll_before is not None:
            _log.info(
                "calibrate: temperature %.4f, NLL %.4f → %.4f",
                fitted.temperature,
                fitted.nll_before,
                fitted.nll_after,
            )
        contract = contract.model_copy(update={"calibration": fitted})
    if rules is not None:
        contract = contract.model_copy(update={"policy": resolve(rules, contract)})
    if evaluation is not None:
        contract = contract.model_copy(update={"evaluation": evaluate(model, contract, data, evaluation)})

    rows = torch.from_numpy(calibration.inputs[:_ROWS_FOR_HALF]) if calibration is not None else few
    reference = nn.Sequential(natural, adopted).eval()
    plans: dict[str, onnx.ModelProto] = {}
    verified: list[tuple[str, onnx.ModelProto]] = [("folded", model)]
    for device, (chosen, planned, compilation) in made.devices.items():
        if contract.has_temperature:
            artefact.set_temperature(planned, contract.temperature)
        artefact.embed(planned, contract.model_copy(update={"plan": chosen, "compilation": compilation}))
        plans[device] = planned
        verified.append((chosen, planned))
    artefact.embed(model, contract)
    for form, finished in verified:
        onnx.checker.check_model(finished, full_check=True)
        if precision == "float16":
            usual, largest = verify_float16(finished, reference, rows, contract.temperature)
            _log.info("verify: %s, 99 %% of entropies within %.2g nats, all within %.2g", form, usual, largest)
        else:
            worst = verify(finished, reference, rows[:_ROWS], contract.temperature)
            _log.info("verify: %s agrees with the torch loop over the masks, %.2g of the allowed", form, worst)
    return artefact.write(model, Path(store), name, version, plans)


def _adopt(
    network: nn.Module | None,
    networks: Sequence[nn.Module] | None,
    example: Tensor,
    mc_dropout: int | None,
    seed: int,
) -> nn.Module:
    if (network is None) == (networks is None):
        raise ValueError("network, networks: give one of the two")
    if network is not None:
        return adopt(network, example, mc_dropout=mc_dropout, seed=seed)
    if mc_dropout is not None:
        raise ValueError("mc_dropout and networks: a deep ensemble's networks are its submodels")
    members = [adopt(member) for member in networks or ()]
    if len(members) < 2:
        raise ValueError(f"networks: a deep ensemble has at least 2, got {len(members)}")
    for index, member in enumerate(members):
        if layers(member):
            raise ValueError(f"networks[{index}] has Masksembles layers: a deep ensemble is made of single networks")
    return DeepEnsemble(members)


def _varied(example: Tensor, value_range: tuple[float, float] | None) -> Tensor:
    """64 rows near the example's, no two alike, within the range."""
    rows = torch.cat([example] * -(-64 // len(example)))[:64].float()
    rows = rows * (0.8 + 0.4 * torch.rand(rows.shape, generator=torch.Generator().manual_seed(0)))
    low, high = value_range or ((0, 255) if example.dtype == torch.uint8 else (-inf, inf))
    return rows.clamp(low, high).to(example.dtype)


def _head(
    widths: set[int], labels: Sequence[str] | None, targets: Sequence[tuple[str, str]] | None
) -> tuple[MakeHead, tuple[ContractTensor, ...]]:
    """What is put around networks that give so many numbers for a row, and its outputs."""
    given = len(labels or ())
    for width in widths if targets is None else ():
        if (classes := max(width, 2)) != given:
            raise ValueError(f"labels: the network has {classes} classes, got {given} labels")
    if len(widths) > 1:
        raise ValueError(f"networks: expected all to give as many numbers, got {sorted(widths)}")
    if targets is None:
        return Classifier, classification.outputs()
    (width,) = widths
    if width not in (len(targets), 2 * len(targets)):
        raise ValueError(
            f"targets: the network gives {width} numbers, expected a mean for each of the {len(targets)} targets, or a "
            "mean and a ln variance"
        )
    aleatoric = width == 2 * len(targets)
    return partial(Regressor, targets=len(targets), aleatoric=aleatoric), regression.outputs(aleatoric)


def _method(network: nn.Module) -> schema.Method:
    if isinstance(network, DeepEnsemble):
        return "deep-ensemble"
    kinds = {type(layer) for layer in layers(network).values()}
    return "single" if not kinds else "mc-dropout" if FrozenDropout in kinds else "masksembles"


def _masks(network: nn.Module) -> schema.Masks:
    found = list(layers(network).values())
    described = []
    for layer in found:
        figures = masks.statistics(layer.masks.cpu().numpy())
        described.append(
            schema.MaskedLayer(
                scale=layer.scale,
                channels=layer.masks[0].numel(),
                kept=round(float(layer.masks.sum()) / layer.submodels),
                iou=round(figures.iou_mean, 4),
                effective_scale=round(figures.effective_scale, 4) if isfinite(figures.effective_scale) else None,
            )
        )
    return schema.Masks(layers=tuple(described), digest=digest(network))

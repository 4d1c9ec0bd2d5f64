"""The compiler from a PyTorch network to an artefact: adopt, trace, fold, compact, head, artefact, verify, store."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version as installed
from math import inf, isfinite
from pathlib import Path
from typing import Any, Literal

import onnx
import torch
from torch import Tensor, nn

from app.contract import naming, schema
from models import artefact, masks
from models.adopt import adopt
from models.calibrate import calibrate
from models.data import Split
from models.evaluate import evaluate
from models.export.cost import DeviceName, PlanName
from models.export.head import Natural, Normalise
from models.export.plans import Precision, make
from models.export.rows import check_rows
from models.export.trace import trace
from models.export.verify import verify, verify_half
from models.layers import FrozenDropout, count, digest, layers

_ROWS, _ROWS_FOR_HALF = 64, 512

_log = logging.getLogger(__name__)


def export(
    network: nn.Module,
    example_input: Tensor,
    *,
    name: str,
    labels: Sequence[str],
    store: Path | str = artefact.STORE,
    version: int | None = None,
    normalise: Normalise | None = None,
    calibration: Split | None = None,
    evaluation: Split | None = None,
    data: str = "",
    value_range: tuple[float, float] | None = None,
    unit: str = "",
    layout: str | None = None,
    colour: Literal["grey", "rgb"] | None = None,
    resize: Literal["stretch", "crop"] | None = None,
    recipe: dict[str, Any] | None = None,
    targets: Sequence[DeviceName] = ("cpu",),
    plan: PlanName | None = None,
    tune: bool = False,
    precision: Precision = "float32",
    mc_dropout: int | None = None,
    seed: int = 0,
) -> Path:
    """Writes a classifier with Masksembles layers as a new version in a store and returns the file's path.

    `model.onnx` folds the submodels into the batch and runs everywhere. Where dropping the channels that a submodel
    never sees is worth it on a device, that plan lies beside it as `model.cpu.onnx` or `model.cuda.onnx`.

    Args:
        network: [B, …] → logits [B, K], or [B, 1] for two classes, the logit being that of the second; with Masksembles
            layers of any known kind (see `models.adopt`), or without, when it becomes a model of one submodel.
        example_input: at least one row in natural units, float32 or uint8 (uint8 is divided by 255 in the graph).
        name: of the model in the store.
        labels: the K class names in order.
        version: to write; the next one by default. An existing one is never overwritten.
        normalise: (mean, std), a number or one for each channel on axis 1, put into the graph before the network.
        calibration: held-out rows to fit the temperature and the scores' quantiles; without it the temperature is 1.
        evaluation: rows that took part in nothing else, for the figures in the contract.
        data: the name of the data that both come from.
        value_range: smallest and largest value an input may have; the service refuses others.
        unit, layout, colour: what an input value is, a letter for each axis (BCHW), and grey or rgb for pictures. With
            layout, colour and, for float32, value_range, the service also takes picture files.
        resize: how it makes pictures of another size fit; by default it refuses them.
        recipe: settings of the training, kept in the contract.
        targets: devices that may get a plan of their own.
        plan: force this plan for them, instead of choosing by a fixed rule (`models.export.cost`).
        tune: choose by measuring on this machine instead.
        precision: `float16` for everything before the last layer.
        mc_dropout: freeze the network's dropout into so many submodels, their masks drawn from `seed`.

    Raises:
        ValueError: the network cannot be exported, or labels, example or data do not fit it.
        FileExistsError: the version exists.
        VerificationError: the artefact does not answer as the network does; nothing is written.
    """
    naming.check_name(name)
    if example_input.dtype not in (torch.float32, torch.uint8):
        raise ValueError(f"example_input must be float32 or uint8, got {example_input.dtype}")
    if resize is not None and (layout is None or colour is None):
        raise ValueError("resize: only pictures have another size, say which axis is what with layout and colour")
    if plan is not None and tune:
        raise ValueError("plan and tune: a plan is either forced or measured")
    natural = Natural(normalise, example_input.shape)
    example = natural(example_input)
    adopted = adopt(network, example, mc_dropout=mc_dropout, seed=seed)
    traced = trace(adopted, example)
    logits = traced.graph.output_node().all_input_nodes[0].meta["val"].shape[1]
    if (classes := max(logits, 2)) != len(labels):
        raise ValueError(f"labels: the network has {classes} classes, got {len(labels)} labels")
    few = _varied(example_input, value_range)
    check_rows(traced, natural(few[:3]))

    made = make(adopted, traced, natural, few, targets=targets, forced=plan, tune=tune, precision=precision)
    model = made.folded

    given = schema.Tensor(
        name="input",
        dtype="uint8" if example_input.dtype == torch.uint8 else "float32",
        shape=("B", *example_input.shape[1:]),
        unit=unit,
        range=value_range,
        layout=layout,
        colour=colour,
        resize=resize,
    )
    contract = _contract(adopted, labels, given, recipe).model_copy(
        update={"precision": precision, "compilation": made.compilation}
    )
    for index, layer in enumerate(contract.masks.layers if contract.masks else ()):
        scale = "∞" if layer.effective_scale is None else f"{layer.effective_scale:.2f}"
        _log.info("masks %d: %d of %d channels kept, effective scale %s", index, layer.kept, layer.channels, scale)
    if calibration is not None:
        fitted = calibrate(model, contract, data, calibration)
        _log.info(
            "calibrate: temperature %.4f, NLL %.4f → %.4f",
            fitted.temperature,
            fitted.nll_before,
            fitted.nll_after,
        )
        contract = contract.model_copy(update={"calibration": fitted})
    if evaluation is not None:
        contract = contract.model_copy(update={"evaluation": evaluate(model, contract, data, evaluation)})

    rows = torch.from_numpy(calibration.inputs[:_ROWS_FOR_HALF]) if calibration is not None else few
    reference = nn.Sequential(natural, adopted).eval()
    plans: dict[str, onnx.ModelProto] = {}
    verified: list[tuple[str, onnx.ModelProto]] = [("folded", model)]
    for device, (chosen, planned, compilation) in made.devices.items():
        artefact.set_temperature(planned, contract.temperature)
        artefact.embed(planned, contract.model_copy(update={"plan": chosen, "compilation": compilation}))
        plans[device] = planned
        verified.append((chosen, planned))
    artefact.embed(model, contract)
    for form, finished in verified:
        onnx.checker.check_model(finished, full_check=True)
        if precision == "float16":
            usual, largest = verify_half(finished, reference, rows, contract.temperature)
            _log.info("verify: %s, 99 %% of entropies within %.2g nats, all within %.2g", form, usual, largest)
        else:
            worst = verify(finished, reference, rows[:_ROWS], contract.temperature)
            _log.info("verify: %s agrees with the torch loop over the masks, %.2g of the allowed", form, worst)
    return artefact.write(model, Path(store), name, version, plans)


def _varied(example: Tensor, value_range: tuple[float, float] | None) -> Tensor:
    """64 rows near the example's, no two alike, within the range."""
    rows = torch.cat([example] * -(-64 // len(example)))[:64].float()
    rows = rows * (0.8 + 0.4 * torch.rand(rows.shape, generator=torch.Generator().manual_seed(0)))
    low, high = value_range or ((0, 255) if example.dtype == torch.uint8 else (-inf, inf))
    return rows.clamp(low, high).to(example.dtype)


def _contract(
    network: nn.Module, labels: Sequence[str], given: schema.Tensor, recipe: dict[str, Any] | None
) -> schema.Contract:
    found = list(layers(network).values())
    return schema.Contract(
        method="single" if not found else "mc-dropout" if isinstance(found[0], FrozenDropout) else "masksembles",
        num_submodels=count(network),
        masks=_masks(network) if found else None,
        inputs=(given,),
        outputs=schema.classifier_outputs(),
        labels=tuple(labels),
        origin=schema.Origin(
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            software={name: installed(name) for name in ("torch", "onnx", "onnxscript")},
            recipe=recipe or {},
        ),
    )


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

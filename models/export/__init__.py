"""The compiler from a PyTorch network to an artefact: adopt, trace, fold, head, artefact, verify, store."""

import logging
import warnings
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
from models.export.fold import fold
from models.export.head import Classifier, Natural, Normalise
from models.export.trace import trace
from models.export.verify import verify
from models.layers import count, digest, layers

OPSET = 20

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
    recipe: dict[str, Any] | None = None,
) -> Path:
    """Writes a classifier with Masksembles layers as a new version in a store and returns the file's path.

    Args:
        network: [B, …] → logits [B, K], or [B, 1] for two classes, the logit being that of the second; without
            Masksembles layers it becomes a model of one submodel.
        example_input: at least one row in natural units, float32 or uint8 (uint8 is divided by 255 in the graph).
        name: of the model in the store.
        labels: the K class names in order.
        version: to write; the next one by default. An existing one is never overwritten.
        normalise: (mean, std), a number or one for each channel on axis 1, put into the graph before the network.
        calibration: held-out rows to fit the temperature and the scores' quantiles; without it the temperature is 1.
        evaluation: rows that took part in nothing else, for the figures in the contract.
        data: the name of the data that both come from.
        value_range: smallest and largest value an input may have; the service refuses others.
        unit, layout, colour: what an input value is, a letter for each axis (BCHW), and grey or rgb for pictures.
        recipe: settings of the training, kept in the contract.

    Raises:
        ValueError: the network cannot be exported, or labels, example or data do not fit it.
        FileExistsError: the version exists.
        VerificationError: the artefact does not answer as the network does; nothing is written.
    """
    naming.check_name(name)
    if example_input.dtype not in (torch.float32, torch.uint8):
        raise ValueError(f"example_input must be float32 or uint8, got {example_input.dtype}")
    adopted = adopt(network)
    submodels = count(adopted)
    natural = Natural(normalise, example_input.shape)
    graph = trace(adopted, natural(example_input))
    logits = graph.graph.output_node().all_input_nodes[0].meta["val"].shape[1]
    if (classes := max(logits, 2)) != len(labels):
        raise ValueError(f"labels: the network has {classes} classes, got {len(labels)} labels")
    shared, operations = fold(graph, submodels)
    _log.info("fold: %d of %d operations run once for all %d submodels", shared, operations, submodels)
    # compact comes here: a second plan for one kind of device, beside this one.

    model = _to_onnx(Classifier(graph, submodels, natural).eval(), example_input)
    given = schema.Tensor(
        name="input",
        dtype="uint8" if example_input.dtype == torch.uint8 else "float32",
        shape=("B", *example_input.shape[1:]),
        unit=unit,
        range=value_range,
        layout=layout,
        colour=colour,
    )
    contract = _contract(adopted, labels, given, recipe)
    for index, layer in enumerate(contract.masks.layers if contract.masks else ()):
        scale = "∞" if layer.effective_scale is None else f"{layer.effective_scale:.2f}"
        _log.info("masks %d: %d of %d channels kept, effective scale %s", index, layer.kept, layer.channels, scale)
    artefact.set_temperature(model, 1.0)
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
    artefact.embed(model, contract)
    onnx.checker.check_model(model, full_check=True)

    rows = torch.from_numpy(calibration.inputs[:64]) if calibration is not None else _varied(example_input, value_range)
    worst = verify(model, nn.Sequential(natural, adopted).eval(), rows, contract.temperature)
    _log.info("verify: agrees with the torch loop over the masks, largest difference %.2g of the allowed", worst)
    return artefact.write(model, Path(store), name, version)


def _varied(example: Tensor, value_range: tuple[float, float] | None) -> Tensor:
    """64 rows near the example's, no two alike, within the range."""
    rows = torch.cat([example] * -(-64 // len(example)))[:64].float()
    rows = rows * (0.8 + 0.4 * torch.rand(rows.shape, generator=torch.Generator().manual_seed(0)))
    low, high = value_range or ((0, 255) if example.dtype == torch.uint8 else (-inf, inf))
    return rows.clamp(low, high).to(example.dtype)


def _to_onnx(head: Classifier, example: Tensor) -> onnx.ModelProto:
    rows = torch.cat([example[:1], example[:1]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter about itself
        program = torch.onnx.export(
            head,
            (rows,),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("B")},),
            input_names=["input"],
            output_names=list(Classifier.OUTPUTS),
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export gave no program")
    model: onnx.ModelProto = program.model_proto
    if (uses := sum(list(node.input).count(naming.TEMPERATURE) for node in model.graph.node)) != 1:
        raise RuntimeError(f"the exporter left {uses} uses of the temperature, expected one")
    artefact.slim(model)
    return model


def _contract(
    network: nn.Module, labels: Sequence[str], given: schema.Tensor, recipe: dict[str, Any] | None
) -> schema.Contract:
    found = list(layers(network).values())
    return schema.Contract(
        method="masksembles" if found else "single",
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
                channels=layer.channels,
                kept=int(layer.masks[0].sum()),
                iou=round(figures.iou_mean, 4),
                effective_scale=round(figures.effective_scale, 4) if isfinite(figures.effective_scale) else None,
            )
        )
    return schema.Masks(layers=tuple(described), digest=digest(network))

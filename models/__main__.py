"""The workshop's command line: train, export, calibrate, evaluate."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from app.contract import naming
from app.contract.schema import Evaluation
from models import artefact
from models.data import LOADERS, Dataset, DatasetError, load

_HERE = Path(__file__).parent
_STORE = _HERE / "store"
_CHECKPOINTS = _HERE / "checkpoints"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns 0, or 1 after a message about what is wrong."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(format="%(message)s", stream=sys.stdout)
    logging.getLogger("models").setLevel(logging.INFO)
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)  # on torchvision
    try:
        options.run(options)
    except (ValueError, FileExistsError) as error:  # every error of ours for a wrong input is one of these
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _train(options: argparse.Namespace) -> None:
    from models import train

    dataset = load(options.dataset, options.data)
    asked = {
        name: value
        for name in (
            "network",
            "submodels",
            "scale",
            "align",
            "epochs",
            "batch_size",
            "learning_rate",
            "seed",
        )
        if (value := getattr(options, name)) is not None
    }
    recipe = train.Recipe(
        data=dataset.name,
        input_shape=dataset.train.inputs.shape[1:],
        classes=len(dataset.classes),
        **{**train.DEFAULTS[options.dataset], **asked},
    )
    checkpoint = options.checkpoint or _checkpoint(options.dataset)
    train.train(recipe, dataset, checkpoint)
    print(f"trained: {checkpoint}")


def _export(options: argparse.Namespace) -> None:
    from models import train
    from models.export import export

    dataset = load(options.dataset, options.data)
    recipe, network = train.load(options.checkpoint or _checkpoint(options.dataset))
    if recipe.data != dataset.name:
        raise DatasetError(f"the checkpoint was trained on {recipe.data}, not on {dataset.name}")
    import torch

    path = export(
        network,
        torch.from_numpy(dataset.calibration.inputs[:2]),
        name=options.name or options.dataset,
        store=options.store,
        labels=dataset.classes,
        calibration=dataset.calibration,
        evaluation=dataset.test,
        data=dataset.name,
        value_range=dataset.value_range,
        unit=dataset.unit,
        layout=dataset.layout,
        colour="grey",
        recipe=train.plain(recipe),
    )
    contract = artefact.read(options.store, path.parents[1].name, int(path.parent.name))[1]
    if contract.evaluation:
        _show(contract.evaluation)
    print(f"exported: {path} ({path.stat().st_size / 1e6:.2f} MB)")


def _calibrate(options: argparse.Namespace) -> None:
    from models.calibrate import calibrate
    from models.evaluate import evaluate

    name, version = naming.parse_reference(options.model)
    model, contract, _ = artefact.read(options.store, name, version)
    dataset = _data_of(options, contract.calibration.data if contract.calibration else None)
    calibration = calibrate(model, dataset.name, dataset.calibration)
    evaluation = None  # a file of rows is one split, and that one is spent
    if dataset.name in LOADERS:
        evaluation = evaluate(model, calibration.temperature, dataset.name, dataset.test)
    origin = contract.origin.model_copy(update={"recalibrated_from": version})
    artefact.embed(
        model,
        contract.model_copy(update={"calibration": calibration, "evaluation": evaluation, "origin": origin}),
    )
    path = artefact.write(model, options.store, name)
    print(
        f"temperature {contract.temperature:.4f} → {calibration.temperature:.4f} on {calibration.rows} rows of "
        f"{calibration.data}; NLL {calibration.nll_before:.4f} at 1, {calibration.nll_after:.4f} now\nwrote: {path}"
    )


def _evaluate(options: argparse.Namespace) -> None:
    from models.evaluate import evaluate

    name, colon, version = options.model.partition(":")
    model, contract, _ = artefact.read(options.store, name, naming.parse_version(version) if colon else None)
    dataset = _data_of(options, contract.calibration.data if contract.calibration else None)
    _show(evaluate(model, contract.temperature, dataset.name, dataset.test))


def _data_of(options: argparse.Namespace, recorded: str | None) -> Dataset:
    """What --data says: an .npz file, or a folder for the files of the data set that the contract names."""
    if options.data is not None and options.data.suffix == ".npz":
        return load(str(options.data))
    if recorded is None:
        raise DatasetError(f"{options.model} names no data set of its own: give an .npz file with --data")
    return load(recorded, options.data)


def _show(figures: Evaluation) -> None:
    each = " ".join(f"{accuracy:.4f}" for accuracy in figures.submodel_accuracy)
    print(
        f"{figures.data}, {figures.rows} test rows: accuracy {figures.accuracy:.4f}, NLL {figures.nll:.4f}, "
        f"ECE {figures.ece:.4f} (uncalibrated {figures.ece_uncalibrated:.4f}); submodels alone {each}"
    )


def _checkpoint(dataset: str) -> Path:
    return _CHECKPOINTS / f"{dataset}.pt"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    train = commands.add_parser("train", help="train a network; the same command goes on after an interruption")
    train.set_defaults(run=_train)
    train.add_argument("dataset", choices=sorted(LOADERS))
    train.add_argument("--network", choices=["cnn", "mlp"], help="default: what suits the data set")
    train.add_argument("--submodels", type=int, metavar="N", help="default 4")
    train.add_argument("--scale", type=float, metavar="S", help="default 2")
    train.add_argument("--align", type=int, help="keep a multiple of this many channels, default 16")
    train.add_argument("--epochs", type=int)
    train.add_argument("--batch-size", type=int)
    train.add_argument("--learning-rate", type=float)
    train.add_argument("--seed", type=int, help="of weights, masks and batches, default 0")

    export = commands.add_parser("export", help="calibrate a trained network and write it to the store")
    export.set_defaults(run=_export)
    export.add_argument("dataset", choices=sorted(LOADERS))
    export.add_argument("--name", help="of the model in the store, default that of the data set")
    for command in (train, export):
        command.add_argument("--checkpoint", type=Path, help="default models/checkpoints/DATASET.pt")
        command.add_argument("--data", type=Path, metavar="FOLDER", help="that holds the data set's files")

    calibrate = commands.add_parser("calibrate", help="recalibrate a model of the store as a new version")
    calibrate.set_defaults(run=_calibrate)
    calibrate.add_argument("model", metavar="NAME:VERSION")
    evaluate = commands.add_parser("evaluate", help="measure a model of the store on test data")
    evaluate.set_defaults(run=_evaluate)
    evaluate.add_argument("model", metavar="NAME[:VERSION]")
    for command in (calibrate, evaluate):
        command.add_argument(
            "--data",
            type=Path,
            metavar="PATH",
            help="an .npz file with inputs and labels, or the folder of the data set that the model was made with",
        )
    for command in (export, calibrate, evaluate):
        command.add_argument("--store", type=Path, default=_STORE, help="default models/store")
    return parser


if __name__ == "__main__":
    sys.exit(main())

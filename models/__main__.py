"""The workshop's command line: train, export, calibrate, evaluate."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.contract import naming
from app.contract.schema import Contract, Evaluation
from models import artefact
from models.data import LOADERS, Dataset, DatasetError, load

_CHECKPOINTS = Path(__file__).parent / "checkpoints"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns 0, or 1 after a message about what is wrong."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(format="%(message)s", stream=sys.stdout)
    logging.getLogger("models").setLevel(logging.INFO)
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)  # on torchvision
    try:
        options.run(options)
    except (ValueError, OSError) as error:  # every error of ours is one of these
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
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
    from models.export import export

    arguments = _trained_here(options) if options.network is None else _trained_elsewhere(options)
    path = export(
        **arguments,
        store=options.store,
        targets=options.target,
        plan=options.plan,
        tune=options.tune,
        precision="float16" if options.half else "float32",
        mc_dropout=options.mc_dropout,
        seed=options.seed,
    )
    contract = artefact.read(options.store, path.parents[1].name, int(path.parent.name))[1]
    if contract.evaluation:
        _show(contract.evaluation)
    for file in sorted(path.parent.iterdir(), reverse=True):
        print(f"exported: {file} ({file.stat().st_size / 1e6:.2f} MB)")


def _trained_here(options: argparse.Namespace) -> dict[str, Any]:
    """What `export` gets for a checkpoint of `python -m models train`."""
    import torch

    from models import train

    if options.dataset is None:
        raise ValueError("name the data set of a network that was trained here, or give --network")
    for option in ("input_shape", "labels", "normalise", "range", "layout", "colour", "resize"):
        if getattr(options, option) is not None:
            raise ValueError(f"--{option.replace('_', '-')} goes with --network; the data set says it here")
    dataset = load(options.dataset, options.data)
    recipe, network = train.load(options.checkpoint or _checkpoint(options.dataset))
    if recipe.data != dataset.name:
        raise DatasetError(f"the checkpoint was trained on {recipe.data}, not on {dataset.name}")
    return {
        "network": network,
        "example_input": torch.from_numpy(dataset.calibration.inputs[:2]),
        "name": options.name or options.dataset,
        "labels": dataset.classes,
        "calibration": dataset.calibration,
        "evaluation": dataset.test,
        "data": dataset.name,
        "value_range": dataset.value_range,
        "unit": dataset.unit,
        "layout": dataset.layout,
        "colour": "grey",
        "recipe": train.plain(recipe),
    }


def _trained_elsewhere(options: argparse.Namespace) -> dict[str, Any]:
    """What `export` gets for the network of a factory."""
    import torch

    from models.checkpoint import build, load_weights

    if options.dataset is not None:
        raise ValueError("give a data set or --network, not both")
    missing = [option for option in ("name", "input_shape", "labels") if getattr(options, option) is None]
    if missing:
        raise ValueError(f"--network also needs {', '.join('--' + option.replace('_', '-') for option in missing)}")
    network = build(options.network)
    if options.checkpoint is not None:
        load_weights(network, options.checkpoint)
    calibration = None
    if options.data is not None:
        if not _is_file(options.data):
            raise DatasetError(f"--data: with --network an .npz file with inputs and labels, got {options.data}")
        calibration = load(str(options.data)).calibration
    rows = torch.from_numpy(calibration.inputs[:2]) if calibration else torch.rand(2, *options.input_shape)
    if tuple(rows.shape[1:]) != options.input_shape:
        raise DatasetError(f"inputs: --input-shape says {list(options.input_shape)}, got {list(rows.shape[1:])}")
    return {
        "network": network,
        "example_input": rows,
        "name": options.name,
        "labels": options.labels,
        "normalise": options.normalise,
        "value_range": options.range,
        "layout": options.layout,
        "colour": options.colour,
        "resize": options.resize,
        "calibration": calibration,
        "data": str(options.data.name) if options.data else "",
        "recipe": {"network": options.network},
    }


def _calibrate(options: argparse.Namespace) -> None:
    from models.calibrate import calibrate
    from models.evaluate import evaluate

    name, version = naming.parse_reference(options.model)
    model, contract, _ = artefact.read(options.store, name, version)
    dataset = _data_of(options, contract)
    calibration = calibrate(model, contract, dataset.name, dataset.calibration)
    contract = contract.model_copy(
        update={
            "calibration": calibration,
            "evaluation": None,
            "origin": contract.origin.model_copy(update={"recalibrated_from": version}),
        }
    )
    if not _is_file(options.data):  # a file of rows is one split, and that one is spent
        contract = contract.model_copy(update={"evaluation": evaluate(model, contract, dataset.name, dataset.test)})
    plans = {}
    for device, (plan, planned) in artefact.read_plans(options.store, name, version).items():
        artefact.set_temperature(plan, calibration.temperature)
        updated = contract.model_copy(update={"plan": planned.plan, "compilation": planned.compilation})
        artefact.embed(plan, updated)
        plans[device] = plan
    artefact.embed(model, contract)
    path = artefact.write(model, options.store, name, plans=plans)
    print(
        f"temperature {calibration.temperature:.4f} from {calibration.rows} rows of {calibration.data}: "
        f"NLL {calibration.nll_before:.4f} at temperature 1, {calibration.nll_after:.4f} now\nwrote: {path}"
    )


def _evaluate(options: argparse.Namespace) -> None:
    from models.evaluate import evaluate

    name, colon, version = options.model.partition(":")
    model, contract, _ = artefact.read(options.store, name, naming.parse_version(version) if colon else None)
    dataset = _data_of(options, contract)
    _show(evaluate(model, contract, dataset.name, dataset.test))


def _data_of(options: argparse.Namespace, contract: Contract) -> Dataset:
    """What --data says: an .npz file, or a folder for the files of the data set that the contract names."""
    if _is_file(options.data):
        dataset = load(str(options.data))
    else:
        named = [contract.calibration.data if contract.calibration else None, contract.origin.recipe.get("data")]
        known = [name for name in named if name in LOADERS]
        if not known:
            raise DatasetError(f"{options.model} names no data set that is known here: give an .npz file with --data")
        dataset = load(known[0], options.data)
    if dataset.classes and dataset.classes != contract.labels:
        raise DatasetError(f"classes: expected {', '.join(contract.labels)}, got {', '.join(dataset.classes)}")
    return dataset


def _is_file(data: Path | None) -> bool:
    return data is not None and data.suffix == ".npz"


def _show(figures: Evaluation) -> None:
    each = " ".join(f"{accuracy:.4f}" for accuracy in figures.submodel_accuracy)
    print(
        f"{figures.data}, {figures.rows} test rows: accuracy {figures.accuracy:.4f}, NLL {figures.nll:.4f}, "
        f"ECE {figures.ece:.4f} (uncalibrated {figures.ece_uncalibrated:.4f}); submodels alone {each}"
    )


def _checkpoint(dataset: str) -> Path:
    return _CHECKPOINTS / f"{dataset}.pt"


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number, 1 or more, got {text!r}")
    return int(text)


def _shape(text: str) -> tuple[int, ...]:
    return tuple(_positive(size) for size in text.split(","))


def _targets(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if not set(names) <= set(naming.DEVICES):
        raise argparse.ArgumentTypeError(f"expected {' or '.join(naming.DEVICES)}, or both with a comma, got {text!r}")
    return names


def _mean_and_std(text: str) -> tuple[list[float], list[float]]:
    try:
        mean, std = ([float(number) for number in part.split(",")] for part in text.split("/"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected MEAN/STD, such as 0.5/0.25, got {text!r}") from None
    return mean, std


def _range(text: str) -> tuple[float, float]:
    try:
        low, high = (float(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected LOW,HIGH, such as 0,1, got {text!r}") from None
    return low, high


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    train = commands.add_parser("train", help="train a network; the same command goes on after an interruption")
    train.set_defaults(run=_train)
    train.add_argument("dataset", choices=sorted(LOADERS))
    train.add_argument("--network", choices=["cnn", "mlp"], help="default: what suits the data set")
    train.add_argument("--submodels", type=_positive, metavar="N", help="default 4")
    train.add_argument("--scale", type=float, metavar="S", help="default 2")
    train.add_argument("--align", type=_positive, help="keep a multiple of this many channels, default 16")
    train.add_argument("--epochs", type=_positive)
    train.add_argument("--batch-size", type=_positive)
    train.add_argument("--learning-rate", type=float)
    train.add_argument("--seed", type=int, help="of weights, masks and batches, default 0")

    export = commands.add_parser("export", help="compile a trained network, calibrate it and write it to the store")
    export.set_defaults(run=_export)
    export.add_argument("dataset", nargs="?", choices=sorted(LOADERS), help="that the network was trained on here")
    export.add_argument("--name", help="of the model in the store, default that of the data set")
    for command in (train, export):
        command.add_argument("--checkpoint", type=Path, help="default models/checkpoints/DATASET.pt")
        command.add_argument("--data", type=Path, metavar="PATH", help="the folder of the data set's files")
    other = export.add_argument_group(
        "a network from elsewhere", "with --data FILE.npz (inputs, labels) to calibrate on"
    )
    other.add_argument("--network", metavar="MODULE:FACTORY", help="called without arguments, gives a torch.nn.Module")
    other.add_argument("--input-shape", type=_shape, metavar="C,H,W", help="of one row")
    other.add_argument("--labels", type=lambda text: text.split(","), metavar="A,B,…", help="the classes in order")
    other.add_argument(
        "--normalise", type=_mean_and_std, metavar="MEAN/STD", help="a number or one a channel: 0.5,0.4/1"
    )
    other.add_argument("--range", type=_range, metavar="LOW,HIGH", help="of input values; the service refuses others")
    other.add_argument("--layout", metavar="BCHW", help="a letter for each axis of pictures, to be posted as files")
    other.add_argument("--colour", choices=["grey", "rgb"], help="of pictures")
    other.add_argument("--resize", choices=["stretch", "crop"], help="make pictures of another size fit")
    other.add_argument("--mc-dropout", type=_positive, metavar="N", help="freeze its dropout into so many submodels")
    other.add_argument("--seed", type=int, default=0, help="of those masks")
    compiler = export.add_argument_group("the compiler")
    compiler.add_argument(
        "--target",
        type=_targets,
        default=("cpu",),
        help="devices that may get a plan of their own: cpu (default), cuda",
    )
    compiler.add_argument("--plan", choices=["folded", "branches", "grouped"], help="force a plan for them")
    compiler.add_argument("--tune", action="store_true", help="choose it by measuring on this machine")
    compiler.add_argument("--half", action="store_true", help="float16 for everything before the last layer")

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
        command.add_argument("--store", type=Path, default=artefact.STORE, help="default models/store")
    return parser


if __name__ == "__main__":
    sys.exit(main())

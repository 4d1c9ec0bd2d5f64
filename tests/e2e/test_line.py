"""The whole line with the real commands: train → export → serve → recalibrate → serve the new version."""

import io
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from app.contract import schema
from models import artefact, runtime
from models.__main__ import main
from models.data import Dataset
from models.data import load as load_data
from models.layers import submodels
from models.training.trainer import load
from tests.once import Once
from tests.serving import ROOT, as_process


def workshop(*arguments: str | Path, fails: bool = False) -> str:
    found = subprocess.run(
        [sys.executable, "-m", "models", *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert (found.returncode != 0) is fails, found.stderr
    return found.stderr if fails else found.stdout


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_data("digits")


@pytest.fixture
def line(once: Once, tmp_path: Path) -> tuple[Path, Path]:
    """A checkpoint and a repository, made by the commands; the repository may be changed."""
    folder = once("line", _train_and_export)
    return folder / "digits.pt", shutil.copytree(folder / "repository", tmp_path / "line")


def _train_and_export(folder: Path) -> None:
    checkpoint, repository = folder / "digits.pt", folder / "repository"
    workshop("train", "digits", "--epochs", "10", "--scale", "3", "--checkpoint", checkpoint)
    printed = workshop("export", "digits", "--checkpoint", checkpoint, "--repository", repository, "--name", "mine")
    assert "verify: folded agrees with the torch loop over the masks" in printed
    assert f"exported: {repository / 'mine' / '1' / 'model.onnx'}" in printed


def test_the_service_answers_as_the_torch_loop_over_the_masks(line: tuple[Path, Path], digits: Dataset) -> None:
    checkpoint, repository = line
    recipe, network = load(checkpoint)
    assert recipe.scale == 3
    temperature = artefact.read(repository, "mine")[1].head.temperature
    x = digits.test.inputs
    with torch.no_grad():
        logits = submodels(network, torch.from_numpy(x)).double()
    p = (logits / temperature).softmax(-1).permute(1, 0, 2).numpy()
    with as_process(repository) as (client, _):
        answer = client.post("/predict", json={"inputs": x.tolist()}).raise_for_status().json()
    found = np.array([[s["probabilities"] for s in row["submodels"]] for row in answer["predictions"]])
    assert (np.abs(found - p) <= 1e-6 + 1e-5 * p).all()
    assert [row["index"] for row in answer["predictions"]] == p.mean(axis=1).argmax(axis=-1).tolist()


@pytest.mark.slow
def test_a_recalibrated_version_keeps_the_plans_of_devices(
    line: tuple[Path, Path], tmp_path: Path, digits: Dataset
) -> None:
    checkpoint, _ = line
    repository, rows = tmp_path / "repository", tmp_path / "rows.npz"
    printed = workshop("export", "digits", "--checkpoint", checkpoint, "--repository", repository, "--plan", "grouped")
    assert "plan for cpu: grouped, forced" in printed
    np.savez(rows, inputs=digits.calibration.inputs[:90], labels=digits.calibration.labels[:90])
    workshop("calibrate", "digits:1", "--repository", repository, "--data", rows)
    folded, contract, _ = artefact.read(repository, "digits", 2)
    (plan, planned) = artefact.read_plans(repository, "digits", 2)["cpu"]
    assert (planned.plan, planned.head.temperature) == ("grouped", contract.head.temperature)
    x = digits.test.inputs[:20]
    for name, values in runtime.run(folded, x, ["probabilities", "entropy"]).items():
        np.testing.assert_allclose(runtime.run(plan, x, [name])[name], values, rtol=1e-5, atol=1e-6)
    with as_process(repository, MASKSEMBLES_DEVICE="cpu") as (client, _):
        assert client.get("/models/digits/versions/2").json()["contract"]["plan"] == "grouped"


@pytest.mark.slow
def test_a_network_from_elsewhere(tmp_path: Path) -> None:
    from tests.models.labelled import labels_of
    from tests.models.third_party import MaskedResNet, settle

    rng = np.random.default_rng(0)
    inputs = rng.random((40, 3, 16, 16), np.float32)
    rows = (torch.from_numpy(inputs) - torch.tensor([0.5, 0.4, 0.3]).reshape(3, 1, 1)) / 0.25
    network = settle(MaskedResNet(), rows)
    torch.save({"state_dict": network.state_dict()}, tmp_path / "theirs.pt")
    np.savez(tmp_path / "rows.npz", inputs=inputs, labels=labels_of(network(rows).reshape(4, 40, 5)))
    command = (
        "export", "--network", "tests.models.third_party:MaskedResNet", "--checkpoint", tmp_path / "theirs.pt",
        "--repository", tmp_path / "repository", "--input-shape", "3,16,16", "--name", "theirs",
        "--value-range", "0,1", "--layout", "BCHW", "--colour", "rgb", "--resize", "crop",
    )  # fmt: skip
    printed = workshop(
        *command,
        "--labels",
        "a,b,c,d,e",
        "--data",
        tmp_path / "rows.npz",
        "--normalise",
        "0.5,0.4,0.3/0.25",
        "--precision",
        "float16",
    )
    assert "plan for cpu" in printed
    assert "verify: folded, 99 % of entropies within" in printed
    model, contract, _ = artefact.read(tmp_path / "repository", "theirs")
    assert (contract.precision, contract.method, contract.head.calibration is not None) == (
        "float16",
        "masksembles",
        True,
    )
    x = rng.random((3, 3, 16, 16), np.float32)
    normalised = (torch.from_numpy(x) - torch.tensor([0.5, 0.4, 0.3]).reshape(3, 1, 1)) / 0.25
    with torch.no_grad():
        p = (network(normalised).reshape(4, 3, 5) / contract.head.temperature).softmax(-1).permute(1, 0, 2)
    np.testing.assert_allclose(runtime.run(model, x, ["submodels"])["submodels"], p.numpy(), atol=5e-3)
    wide = Image.fromarray(rng.integers(0, 256, (16, 30, 3), np.uint8))
    file = io.BytesIO()
    wide.save(file, "PNG")
    with as_process(tmp_path / "repository") as (client, _):
        found = client.post("/predict", content=file.getvalue(), headers={"content-type": "image/png"})
        cut = np.asarray(wide)[:, 7:23].transpose(2, 0, 1) / 255
        expected = client.post("/predict", json={"inputs": [cut.tolist()]})
    assert found.raise_for_status().json() == expected.raise_for_status().json()
    assert "--network also needs --labels" in workshop(*command, fails=True)
    assert "not both" in workshop(command[0], "digits", *command[1:], "--labels", "a,b", fails=True)


def test_a_recalibrated_version_takes_over(line: tuple[Path, Path], tmp_path: Path, digits: Dataset) -> None:
    _, repository = line
    rows = tmp_path / "digits.npz"  # named like the data set, and still not its test split
    np.savez(rows, inputs=digits.calibration.inputs[:90], labels=digits.calibration.labels[:90])
    printed = workshop("calibrate", "mine:1", "--repository", repository, "--data", rows)
    assert f"wrote: {repository / 'mine' / '2' / 'model.onnx'}" in printed
    with as_process(repository) as (client, _):
        detail = client.get("/models/mine/versions/2").raise_for_status().json()
        old = schema.Contract.model_validate(client.get("/models/mine/versions/1").json()["contract"])
    assert detail["state"] == "available"
    new = schema.Contract.model_validate(detail["contract"])
    assert new.origin.recalibrated_from == 1
    assert new.head.calibration is not None
    assert (new.head.calibration.data, new.head.calibration.rows) == ("digits", 90)
    assert new.head.temperature != old.head.temperature
    assert new.masks == old.masks
    assert new.head.evaluation is None  # the old figures are of another temperature


@pytest.mark.slow
def test_a_model_recalibrated_on_a_file_still_knows_its_own_data(
    line: tuple[Path, Path], tmp_path: Path, digits: Dataset
) -> None:
    np.savez(tmp_path / "more.npz", inputs=digits.calibration.inputs, labels=digits.calibration.labels)
    workshop("calibrate", "mine:1", "--repository", line[1], "--data", tmp_path / "more.npz")
    assert "digits, 300 test rows" in workshop("evaluate", "mine", "--repository", line[1])


@pytest.mark.slow
def test_evaluate_prints_what_the_contract_says(line: tuple[Path, Path]) -> None:
    _, repository = line
    figures = artefact.read(repository, "mine", 1)[1].head.evaluation
    assert figures is not None
    printed = workshop("evaluate", "mine:1", "--repository", repository)
    assert f"300 test rows: accuracy {figures.accuracy:.4f}, NLL {figures.nll:.4f}, ECE {figures.ece:.4f}" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "fashion-mnist", "--data", "/nowhere"], "/nowhere: holds neither"),
        (["train", "digits", "--scale", "0.5", "--checkpoint", "/nowhere/x.pt"], "scale must be"),
        (["export", "digits", "--checkpoint", "/nowhere.pt"], "no such checkpoint"),
        (["calibrate", "digits"], "expected name:version"),
        (["calibrate", "digits:99"], "no such file"),
        (["calibrate", "digits:1", "--data", "/nowhere.npz"], "no such file"),
        (["evaluate", "cats"], "holds no model 'cats'"),
        (["evaluate", "a/b:1"], "is not a model name"),
        (["evaluate", "digits", "--data", "/nowhere"], "nothing to read from a folder"),
        (["train", "digits", "--epochs", "1", "--checkpoint", "/proc/x/y.pt"], "/proc/x"),
    ],
)
def test_what_is_wrong_is_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("error: ")
    assert message in printed
    assert len(printed.splitlines()) == 1


@pytest.mark.parametrize("option", ["--epochs", "--batch-size", "--submodels", "--align"])
def test_counts_are_whole_and_positive(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "digits", option, "0"])
    assert "expected a whole number, 1 or more, got '0'" in capsys.readouterr().err


def test_the_process_ends_with_what_main_gives() -> None:
    assert workshop("evaluate", "cats", fails=True) == f"error: {artefact.REPOSITORY} holds no model 'cats'\n"


def test_other_classes_than_the_model_s_are_refused(line: tuple[Path, Path], tmp_path: Path, digits: Dataset) -> None:
    names = np.array(digits.classes[::-1])
    np.savez(tmp_path / "x.npz", inputs=digits.test.inputs, labels=digits.test.labels, classes=names)
    printed = workshop("evaluate", "mine:1", "--repository", line[1], "--data", tmp_path / "x.npz", fails=True)
    assert printed.startswith("error: classes: expected 0, 1, 2")


@pytest.mark.parametrize("command", [[], ["train"], ["export"], ["calibrate"], ["evaluate"]])
def test_help(command: list[str]) -> None:
    assert "usage: python -m models" in workshop(*command, "--help")

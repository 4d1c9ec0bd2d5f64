"""Commands that ask a model: they are run as printed, against the service with the shipped models."""

import json
import subprocess
from collections.abc import Iterator

import numpy as np
import pytest

from app.contract.schema import Contract
from app.contract.tensor import Tensor
from models import artefact
from models.cli import asking
from tests.app.engine.fakes import CONTRACT
from tests.serving import ROOT, SHIPPED, as_process

REPOSITORY = ROOT / "models" / "repository"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with as_process(REPOSITORY, **SHIPPED) as (client, _):
        yield f"{client.base_url}/predict"


def answered_by(command: str, address: str) -> str:
    """The name of the model that answers."""
    found = subprocess.run(
        ["sh", "-c", command.replace(asking.ADDRESS, address)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    told = json.loads(found.stdout)
    assert len(told["predictions"]) == 1, told
    return str(told["model"]["name"])


@pytest.mark.parametrize("name", ["diabetes", "digits", "fashion-mnist", "languages"])
def test_the_service_answers(name: str, address: str) -> None:
    contract = artefact.read(REPOSITORY, name)[1]
    for command in asking.commands(name, contract, {})[:1]:
        assert answered_by(command, address) == name


def test_a_picture_may_be_posted(address: str) -> None:
    contract = artefact.read(REPOSITORY, "fashion-mnist")[1]
    _, command = asking.commands("fashion-mnist", contract, {})
    assert answered_by(command.replace("picture.png", "tests/data/coat.png"), address) == "fashion-mnist"


def test_the_first_row_is_sent_in_as_few_digits_as_it_has(address: str) -> None:
    contract = artefact.read(REPOSITORY, "diabetes")[1]
    rows = np.full((2, 10), 0.1, np.float32)
    (command,) = asking.commands("diabetes", contract, {"input": rows})
    assert json.loads(command.partition("--json '")[2].removesuffix("'"))["inputs"] == [[0.1] * 10]
    assert answered_by(command, address) == "diabetes"


def contract_of(*inputs: Tensor) -> Contract:
    return CONTRACT.model_copy(update={"inputs": inputs})


def printed(command: str) -> dict[str, object]:
    """What the Python of a command prints."""
    made = command.partition(" | curl ")[0]
    told: dict[str, object] = json.loads(subprocess.run(["sh", "-c", made], capture_output=True, check=True).stdout)
    return told


def test_a_large_row_is_made_on_the_way_within_the_range_of_each_channel() -> None:
    ranges = {"range": (-5, 300), "channel_ranges": ((-5, -1), (100, 300))}
    given = Tensor(name="input", dtype="float32", shape=("B", 2, 100), unit="", **ranges)
    (command,) = asking.commands("mine", contract_of(given), {})
    found = np.array(printed(command)["inputs"])
    assert found.shape == (1, 2, 100)
    assert not given.outside(found).any()


def test_several_inputs_have_their_names() -> None:
    table = Tensor(name="table", dtype="int32", shape=("B", 3), unit="", range=(2, 5))
    on = Tensor(name="on", dtype="bool", shape=("B",), unit="")
    large = Tensor(name="large", dtype="float32", shape=("B", 1000), unit="")
    (command,) = asking.commands("mine", contract_of(table, on), {})
    request = json.loads(command.partition("--json '")[2].removesuffix("'"))
    assert request == {"model": "mine", "inputs": {"table": [[3, 3, 3]], "on": [True]}}
    (command,) = asking.commands("mine", contract_of(table, on, large), {})
    inputs = printed(command)["inputs"]
    assert inputs == {"table": [[3, 3, 3]], "on": [True], "large": [[0.5] * 1000]}

import re
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from app.contract.axis import FreeAxis
from models.data import Split
from models.export import ExportOptions, HeadOptions, InputOptions
from tests.serving import ROOT

ROWS = Split(np.zeros((3, 2), np.float32), np.zeros(3, np.int64))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"resize": "crop"}, "resize: only images have another size"),
        ({"resize": "crop", "layout": "BCHW"}, "resize: only images have another size"),
        ({"plan": "branches", "tune": True}, "plan and tune: a plan is either forced or measured"),
        ({"coverages": [0.9]}, "coverages, risks: nothing can be guaranteed without rows"),
        ({"risks": [0.1]}, "coverages, risks: nothing can be guaranteed without rows"),
        ({"heads": {"a": HeadOptions(labels="ab")}}, "labels: with heads, each of them says it for itself"),
        ({"inputs": {"x": InputOptions()}, "unit": "m"}, "unit: with inputs, each of them says it for itself"),
        ({"inputs": {"x": InputOptions()}, "input_shape": (3,)}, "input_shape: with inputs, each of them says it"),
    ],
)
def test_contradictions_are_named_at_once(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ExportOptions(labels="abc", **fields)


def test_the_documentation_lists_every_option() -> None:
    page = (ROOT / "docs" / "serve-your-own.md").read_text()
    section = page.partition("\n## Options of an export\n")[2].partition("\n## ")[0]
    listed = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    assert listed == [field.name for field in fields(ExportOptions)]


def test_what_goes_together_is_accepted() -> None:
    options = ExportOptions(
        labels="abc", resize="crop", layout="BCHW", colour="rgb", coverages=[0.9], calibration=ROWS, tune=True
    )
    assert options.devices == ("cpu",)
    assert options.precision == "float32"


def test_one_input_and_one_head_have_the_options_themselves() -> None:
    options = ExportOptions(targets=[("y", "m")], input_shape=("T",), unit="m", axes={"T": FreeAxis(least=1, most=9)})
    assert options.head_options == {"": HeadOptions(targets=[("y", "m")])}
    assert options.input_options == {"input": InputOptions(shape=("T",), unit="m")}


def test_several_have_options_of_their_own() -> None:
    heads = {"a": HeadOptions(labels="ab", coverages=[0.9]), "b": HeadOptions(targets=[("y", "m")])}
    inputs = {"x": InputOptions(unit="m"), "ids": InputOptions(value_range=(0, 9))}
    options = ExportOptions(heads=heads, inputs=inputs, calibration=ROWS)
    assert (options.head_options, options.input_options) == (heads, inputs)
    with pytest.raises(ValueError, match="coverages, risks: nothing can be guaranteed without rows"):
        ExportOptions(heads=heads)
    with pytest.raises(ValueError, match="resize: only images have another size"):
        InputOptions(resize="crop")

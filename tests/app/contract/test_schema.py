"""What a contract must hold of itself; fields that are wrong one by one are in test_reader."""

import re
from typing import Any

import pytest
from pydantic import ValidationError

from app.contract.axis import FreeAxis, Padding
from app.contract.head import Head
from app.contract.schema import Compilation, Contract, numbers, shape_at
from app.contract.tasks import classification
from app.contract.tensor import Tensor
from tests import dense_graphs
from tests.app.contract.calibrated import EVEN, calibrated
from tests.app.engine.fakes import CONTRACT


def changed(contract: Contract = CONTRACT, **changes: Any) -> Contract:
    return Contract(**{**{name: getattr(contract, name) for name in Contract.model_fields}, **changes})


def given(name: str, *shape: int | str, dtype: str = "float32", **more: Any) -> Tensor:
    return Tensor(name=name, dtype=dtype, shape=("B", *shape), unit="feature", **more)


def dense(*grid: int | str) -> Head:
    return Head(labels=("a", "b"), grid=grid, outputs=classification.outputs(grid))


def named(*names: str) -> tuple[Head, ...]:
    return tuple(CONTRACT.head.model_copy(update={"name": name}) for name in names)


IDS, MARK = given("ids", "T", dtype="int64"), given("mark", "T", dtype="bool")
FOURS = FreeAxis(least=4, most=64, multiple_of=4)
PADDED = FreeAxis(least=4, most=64, padding=Padding(fill={"ids": 1}, mark="mark"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": ()}, "at least 1 item"),
        ({"inputs": CONTRACT.inputs * 2}, "inputs must have different names, got 'input' twice"),
        ({"inputs": (given("x", "K"),)}, "inputs.0.shape: axes must bound K"),
        ({"inputs": (given("x", 2), given("y", "T"))}, "inputs.1.shape: axes must bound T"),
        ({"heads": ()}, "at least 1 item"),
        ({"heads": named("a", "a")}, "heads must have different names, got 'a' twice"),
        ({"heads": named("a", "")}, "heads must all have names where there are several"),
        ({"heads": (dense("H"),)}, "heads.0.grid: H must be a free axis, or a fraction of one"),
        ({"heads": (dense("T/8"),), "inputs": (given("x", "T"),), "axes": {"T": FOURS}},
         "heads.0.grid: axes.T.multiple_of must be a multiple of 8"),
        ({"heads": (dense("T"),), "inputs": (IDS, MARK), "axes": {"T": PADDED}},
         "heads.0.grid: T must not be padded, since its scores are means over the grid"),
        ({"schema_version": 0}, "schema_version"),
    ],
)  # fmt: skip
def test_a_contract_that_contradicts_itself_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)):
        changed(**changes)


@pytest.mark.parametrize(
    ("inputs", "padding", "message"),
    [
        ((IDS, MARK), Padding(fill={"words": 1}), "axes.T.padding.fill must name inputs with the axis T, got words"),
        ((IDS, given("x", 2)), Padding(fill={"x": 1}), "axes.T.padding.fill must name inputs with the axis T, got x"),
        ((IDS,), Padding(mark="mark"), "axes.T.padding.mark must name an input [B, T] of type bool, int32 or int64"),
        ((IDS, given("mark", "T")), Padding(mark="mark"), "axes.T.padding.mark must name an input [B, T] of type"),
        ((IDS, given("mark", "T", 2, dtype="bool")), Padding(mark="mark"), "padding.mark must name an input [B, T]"),
        ((IDS, MARK), Padding(fill={"mark": 1}, mark="mark"), "axes.T.padding.fill.mark must be 0"),
    ],
)
def test_padding_that_contradicts_itself_is_refused(inputs: tuple[Tensor, ...], padding: Padding, message: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)):
        changed(inputs=inputs, axes={"T": PADDED.model_copy(update={"padding": padding})})
    assert changed(inputs=(IDS, MARK), axes={"T": PADDED}).axes["T"] == PADDED


def test_the_only_head_and_the_only_input_are_those_of_a_model_that_has_no_more() -> None:
    assert (CONTRACT.head, CONTRACT.given) == (CONTRACT.heads[0], CONTRACT.inputs[0])
    several = changed(heads=named("steering", "road"), inputs=(given("x", 2), given("y", 3)))
    with pytest.raises(ValueError, match="the model has several heads: steering, road"):
        _ = several.head
    with pytest.raises(ValueError, match="the model has several inputs: x, y"):
        _ = several.given


def test_one_head_can_be_changed_and_the_others_stay() -> None:
    several = changed(heads=named("steering", "road"))
    found = several.with_head(several.heads[1], labels=("c", "d", "e"))
    assert found.heads == (several.heads[0], several.heads[1].model_copy(update={"labels": ("c", "d", "e")}))
    assert several.heads[1].labels == ("a", "b")


def test_outputs_are_those_of_all_heads_with_numbers_for_letters() -> None:
    shapes = {tensor.name: tensor.shape for tensor in changed(heads=named("steering", "road")).outputs}
    assert len(shapes) == 16
    assert shapes["road.submodels"] == ("B", 2, 2)
    assert shapes["steering.entropy"] == ("B",)


def test_warnings_say_which_head_they_are_of() -> None:
    assert calibrated().warnings == ()
    warned = calibrated().head.model_copy(update={"name": "road"})
    assert warned.calibration is not None
    calibration = warned.calibration.model_copy(update={"warnings": ("few rows",)})
    road = warned.model_copy(update={"calibration": calibration})
    assert changed(heads=(*named("steering"), road)).warnings == ("road: few rows",)
    assert changed(heads=(road.model_copy(update={"name": ""}),)).warnings == ("few rows",)


def test_sizes_are_numbers_but_for_the_batch_and_free_axes() -> None:
    assert numbers(("B", 2, "H", 7)) == (None, 2, None, 7)
    assert shape_at(("B", 2, "H", "W/8"), {"B": 3, "H": 9, "W": 16}) == (3, 2, 9, 2)


def test_a_letter_is_one_size_on_all_inputs() -> None:
    contract = changed(inputs=(IDS, MARK), axes={"T": PADDED})
    found: dict[str, int] = {}
    assert contract.misfit(IDS, (8,), found) is None
    assert found == {"T": 8}
    assert contract.misfit(MARK, (8,), found) is None
    assert contract.misfit(MARK, (9,), found) == (1, "expected the same T on all its axes, got 8 and 9")
    assert contract.misfit(MARK, (9,)) is None


def test_the_plan_is_no_part_of_the_model_and_the_calibration_is() -> None:
    compilation = Compilation(device="cpu", macs=1, macs_single=1)
    assert CONTRACT.same_model(CONTRACT.model_copy(update={"plan": "grouped", "compilation": compilation}))
    assert not CONTRACT.same_model(calibrated(entropy=EVEN))
    assert not CONTRACT.same_model(CONTRACT.with_head(CONTRACT.head, labels=("b", "a")))


def test_an_only_head_has_no_name() -> None:
    _, contract = dense_graphs.two_heads()
    with pytest.raises(ValidationError, match=r"heads.0.name must be empty"):
        Contract.model_validate({**contract.model_dump(), "heads": [contract.heads[0].model_dump()]})


@pytest.mark.parametrize("fill", [8.5, 1e30])
def test_padding_is_a_value_of_its_input(fill: float) -> None:
    _, contract = dense_graphs.tokens()
    axes = {"T": {"least": 1, "most": 8, "padding": {"fill": {"ids": fill}}}}
    with pytest.raises(ValidationError, match=r"axes.T.padding.fill.ids must be a value of int64"):
        Contract.model_validate({**contract.model_dump(), "axes": axes})

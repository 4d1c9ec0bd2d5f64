"""Heads of a few operations become ONNX; what a whole head answers there is tested in test_pipeline."""

from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from app.contract.repository import TEMPERATURE
from models import runtime
from models.export import ExportOptions, export
from models.export.convert import OPSET, convert
from models.export.preprocess import Preprocess
from models.export.served import Served
from models.layers import Masksembles1d


class Head(Served):
    """The least of heads: two outputs and a temperature."""

    names: tuple[str, ...] = ("scaled", "plain")
    buffers_as: ClassVar[dict[str, str]] = {"temperature": TEMPERATURE}
    temperature: Tensor

    def __init__(self) -> None:
        super().__init__(nn.Linear(6, 3), 1, Preprocess(None, (1, 6)))
        self.outputs, self.temperatures = self.names, self.buffers_as
        self.register_buffer("temperature", torch.tensor(1.6180340))


class Divides(Head):
    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        body = self.body(self.preprocess(*inputs))
        return body / self.temperature, body * 3.0


class Twice(Head):
    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        body = self.body(*inputs)
        return body / self.temperature, body + self.temperature


class Golden(Head):
    """Has a number of its own that the exporter takes for the temperature."""

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        body = self.body(*inputs)
        return body / self.temperature, body * 1.6180340


class Plain(Head):
    names = ("plain",)
    buffers_as: ClassVar[dict[str, str]] = {}

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return (self.body(*inputs),)


def head(kind: type[Head]) -> Head:
    torch.manual_seed(0)
    return kind().eval().requires_grad_(False)


@pytest.fixture(scope="module")
def converted() -> onnx.ModelProto:
    return convert(head(Divides), torch.rand(1, 6))


def test_the_file_takes_any_number_of_rows(converted: onnx.ModelProto) -> None:
    (given,) = converted.graph.input
    assert (given.name, [axis.dim_param or axis.dim_value for axis in given.type.tensor_type.shape.dim]) == (
        "input",
        ["B", 6],
    )
    body = head(Divides).body
    for batch in (1, 2, 5):
        rows = torch.rand(batch, 6)
        found = runtime.run(converted, rows.numpy(), ["scaled", "plain"])
        expected = body(rows).numpy()
        np.testing.assert_allclose(found["scaled"], expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found["plain"], expected * 3, rtol=1e-5, atol=1e-6)


def test_the_temperature_is_1_and_can_be_set(converted: onnx.ModelProto) -> None:
    (temperature,) = (tensor for tensor in converted.graph.initializer if tensor.name == TEMPERATURE)
    assert onnx.numpy_helper.to_array(temperature) == 1
    assert sum(list(node.input).count(TEMPERATURE) for node in converted.graph.node) == 1


def test_weights_are_inside_and_nothing_tells_of_the_machine(converted: onnx.ModelProto) -> None:
    assert not any(tensor.data_location for tensor in converted.graph.initializer)
    assert [(entry.domain, entry.version) for entry in converted.opset_import] == [("", OPSET)]
    assert not converted.graph.value_info
    assert not any(node.metadata_props or node.doc_string for node in converted.graph.node)
    assert b".py" not in converted.SerializeToString()


def test_equal_heads_give_equal_bytes(converted: onnx.ModelProto) -> None:
    again = convert(head(Divides), torch.rand(4, 6))
    assert again.SerializeToString(deterministic=True) == converted.SerializeToString(deterministic=True)


def test_a_head_may_have_no_temperature() -> None:
    model = convert(head(Plain), torch.rand(1, 6))
    assert [tensor.name for tensor in model.graph.output] == ["plain"]
    assert TEMPERATURE not in {tensor.name for tensor in model.graph.initializer}


@pytest.mark.parametrize(("kind", "uses"), [(Twice, 2), (Golden, 2), (Plain, 0)])
def test_a_temperature_that_is_not_used_once_is_refused(
    kind: type[Head], uses: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kind, "buffers_as", {"temperature": TEMPERATURE})
    with pytest.raises(RuntimeError, match=f"left {uses} uses of temperature, expected 1"):
        convert(head(kind), torch.rand(1, 6))


def test_an_exporter_that_gives_nothing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "onnx", SimpleNamespace(export=lambda *_, **__: None))
    with pytest.raises(RuntimeError, match=r"torch\.onnx\.export gave no program"):
        convert(head(Plain), torch.rand(1, 6))


def test_what_onnx_does_not_have_is_named_with_its_line(tmp_path: Path) -> None:
    class Bessel(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mask, self.last = Masksembles1d(8, 4, seed=0), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(torch.special.bessel_j0(self.mask(x)))

    with pytest.raises(ValueError, match=r"test_convert\.py, line \d+, in forward: .*: ONNX has no bessel_j0"):
        export(Bessel(), torch.rand(2, 8), ExportOptions(labels="abc"), name="bessel", repository=tmp_path)


def test_nothing_is_logged_that_means_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("WARNING")
    convert(head(Divides), torch.rand(2, 6))
    assert [record.getMessage() for record in caplog.records] == []

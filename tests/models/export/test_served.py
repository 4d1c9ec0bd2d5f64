"""Bodies with their heads; what each head computes is tested in a file of its own."""

import torch
from torch import Tensor, nn

from models.export.heads import named_task
from models.export.options import HeadOptions
from models.export.preprocess import Preprocess, PreprocessEach
from models.export.served import Interface, Served


class Halves(nn.Module):
    """Two submodels of two inputs: what the first head gets is twice as large for the second submodel."""

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return torch.cat([x, 2 * x]), torch.cat([y, y])


KIND, SIZE = HeadOptions(labels="abc"), HeadOptions(targets=[("y", "m")])
HEADS = [
    named_task(KIND).head("my-kind", 3, (), KIND), named_task(SIZE).head("size", 1, (), SIZE),
    named_task(KIND).head("other", 3, (), KIND),
]  # fmt: skip


def test_heads_follow_each_other_with_their_names() -> None:
    served = Served(Halves(), 2, PreprocessEach([Preprocess((1, 1), (1, 3)), Preprocess(None, (1, 1))]), HEADS[:2])
    x, y = torch.rand(5, 3), torch.rand(5, 1)
    found = dict(zip(served.outputs, served(x, y), strict=True))
    torch.testing.assert_close(found["my-kind.logits"], torch.stack([x - 1, 2 * (x - 1)], dim=1))
    torch.testing.assert_close(found["size.submodels"], torch.stack([y, y], dim=1))
    assert served.outputs[0] == "my-kind.prediction"
    assert not found["size.variance"].any()


def test_each_temperature_is_a_constant_of_its_own() -> None:
    served = Served(Halves(), 2, nn.Identity(), HEADS)
    assert list(served.temperatures.values()) == ["my-kind.temperature", "other.temperature"]  # no variance, no scale
    assert len({float(served.get_buffer(name)) for name in served.temperatures}) == 2


def test_an_interface_stands_around_any_body() -> None:
    rows = {"x": torch.rand(5, 3), "y": torch.rand(5, 1)}
    steps = PreprocessEach([Preprocess((1, 1), (1, 3)), Preprocess(None, (1, 1))])
    interface = Interface(steps, rows, HEADS[:2])
    x, y = interface.example()
    torch.testing.assert_close(x, rows["x"][:2] - 1)
    assert torch.equal(y, rows["y"][:2])
    assert interface.around(Halves(), 2).inputs == ("x", "y")

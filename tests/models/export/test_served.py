import torch
from torch import Tensor, nn

from app.contract.head import Head, Target
from app.contract.tasks import classification, regression
from models.export.served import Interface, Served

KIND = Head(name="kind", labels=("a", "b"), outputs=classification.outputs())
SIZE = Head(name="size", task="regression", targets=(Target(name="x", unit="m"),), outputs=regression.outputs(False))


class Body(nn.Module):
    """Two submodels of two heads, of two inputs."""

    def forward(self, picture: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
        joined = torch.cat([picture, row], dim=1)
        return torch.cat([joined[:, :2], joined[:, 1:3]]), torch.cat([joined[:, :1], joined[:, 2:3]])


class Doubled(nn.Module):
    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(2 * one for one in inputs)


def test_heads_follow_each_other_and_only_those_with_scores_have_a_temperature() -> None:
    served = Served(Body(), 2, Doubled(), (KIND, SIZE), ("picture", "row"))
    assert served.temperatures == {"temperature_of_kind": "kind.temperature"}
    assert served.outputs[:2] == ("kind.prediction", "kind.probabilities")
    assert served.outputs[-1] == "size.epistemic_variance"
    with torch.no_grad():
        found = dict(zip(served.outputs, served(torch.tensor([[1.0, 2.0]]), torch.tensor([[4.0]]))))
    assert found["kind.logits"].tolist() == [[[2, 4], [4, 8]]]
    assert found["size.submodels"].tolist() == [[[2], [8]]]
    assert found["size.prediction"].tolist() == [[5]]


def test_an_interface_gives_two_rows_as_the_body_takes_them() -> None:
    rows = {"picture": torch.ones(3, 2), "row": torch.ones(3, 1)}
    interface = Interface(Doubled(), rows, (KIND, SIZE))
    assert [one.tolist() for one in interface.example()] == [[[2, 2], [2, 2]], [[2], [2]]]
    assert interface.around(Body(), 2).inputs == ("picture", "row")

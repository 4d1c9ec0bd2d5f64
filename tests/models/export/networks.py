"""Networks whose masked part is entered in every way there is."""

import torch
from torch import Tensor, nn

from models.layers import Masksembles1d, Masksembles2d


class Residual(nn.Module):
    """Two values enter the masked part from outside: a skip connection, and one that two operations use."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.inner, self.last = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(16, 3)
        self.mask, self.other = Masksembles1d(8, 4, seed=0), Masksembles1d(8, 4, seed=1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x).relu()
        y = self.inner(self.mask(h)).relu() + h
        y = self.other(y) * h
        return self.last(torch.cat([y, h], dim=1))


class Branches(nn.Module):
    """Two branches that are masked apart and meet."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.last = nn.Linear(6, 8), nn.Linear(6, 8), nn.Linear(8, 3)
        self.first, self.second = Masksembles1d(8, 4, seed=0), Masksembles1d(8, 4, seed=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(self.left(x)) + self.second(self.right(x)))


class ByHand(nn.Module):
    """Shapes computed from the batch size, as hand-written networks do."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.last = nn.Conv2d(1, 8, 3), nn.Linear(8 * 9, 3)
        self.mask = Masksembles2d(8, 4, seed=0)

    def forward(self, x: Tensor) -> Tensor:
        y = self.mask(self.conv(x))
        return self.last(y.view(x.shape[0], -1))


class Shared(nn.Module):
    """One mask under two names, called three times."""

    def __init__(self) -> None:
        super().__init__()
        self.one = self.two = Masksembles1d(8, 4, seed=0)
        self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.one(self.first(x)).sin()
        return self.last(self.two(self.one(y.cos())))


ONE = nn.Linear(6, 3)


def plain() -> nn.Module:
    """A network without masks, new with each call."""
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


def same() -> nn.Module:
    """The same network with each call."""
    return ONE


NETWORKS: dict[type[nn.Module], tuple[int, ...]] = {Residual: (6,), Branches: (6,), ByHand: (1, 5, 5), Shared: (6,)}
"""Each with the shape of a row; all have four submodels and three classes."""

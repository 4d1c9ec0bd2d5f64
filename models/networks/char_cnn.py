"""A convolutional network over the characters of a word, masked after every hidden layer but the first."""

from collections.abc import Sequence

from torch import Tensor, nn

from models.layers import Masksembles1d
from models.networks.masking import Masking


class CharCNN(nn.Module):
    """Ids int64 [B, T], of which 0 is padding after a word's end → logits [B, K], for any T.

    Padding changes no logit: its values are 0 wherever a convolution or the pooling reads them, as are the values that
    a convolution finds beyond either end of a row.
    """

    def __init__(self, ids: int, widths: Sequence[int], kernel: int, classes: int, masking: Masking) -> None:
        super().__init__()
        embedded, *convolved, hidden = widths
        self.embedding = nn.Embedding(ids, embedded, padding_idx=0)
        self.convolutions, self.masks = nn.ModuleList(), nn.ModuleList()
        for before, width in zip(widths, convolved):
            convolution = nn.Conv1d(before, width, kernel, padding=kernel // 2, bias=False)  # batch norm has one
            self.convolutions.append(nn.Sequential(convolution, nn.BatchNorm1d(width), nn.ReLU()))
            # all submodels share the first convolution
            self.masks.append(masking(width, Masksembles1d) if len(self.masks) else nn.Identity())
        self.head = nn.Sequential(
            nn.Linear(convolved[-1], hidden), nn.ReLU(), masking(hidden, Masksembles1d), nn.Linear(hidden, classes)
        )

    def forward(self, ids: Tensor) -> Tensor:
        real = (ids != 0).unsqueeze(1).float()
        x = self.embedding(ids).transpose(1, 2)
        for convolution, mask in zip(self.convolutions, self.masks):
            x = mask(convolution(x) * real)
        # no value is below 0, so that padding is never the largest one
        return self.head(x.amax(dim=2))  # type: ignore[no-any-return]


def char_cnn(
    input_shape: Sequence[int],
    classes: int,
    *,
    submodels: int = 4,
    scale: float = 2.0,
    seed: int = 0,
    align: int | None = None,
    ids: int = 128,
    widths: Sequence[int] = (32, 96, 96, 96, 128),
    kernel: int = 3,
) -> CharCNN:
    """[B, T] → logits [B, K].

    Args:
        seed: of the masks; weights come from torch's generator.
        align: see `models.masks.generate`.
        ids: how many there are, padding included.
        widths: of the embedding, of each convolution, and of the hidden layer.
        kernel: size of the convolutions, odd.

    Raises:
        ValueError: rows are not ids [T], or the kernel has no middle.
    """
    if len(input_shape) != 1:
        raise ValueError(f"char_cnn takes ids [T], not {list(input_shape)}")
    if kernel % 2 == 0:
        raise ValueError(f"kernel must be odd, got {kernel}")
    return CharCNN(ids, widths, kernel, classes, Masking(submodels, scale, seed, align))

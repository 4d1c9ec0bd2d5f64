"""The head of a multilabel model: a probability for each of K labels, and the uncertainty of each."""

from collections.abc import Sequence

from torch import Tensor

from app.contract.head import Head
from app.contract.tasks import multilabel
from app.contract.tensor import Axis
from models.export.heads.head import TaskExporter, by_submodel, over_grid
from models.export.heads.mixture import mixture, two_sided
from models.export.options import HeadOptions


class MultilabelExporter(TaskExporter):
    """Named by `labels` and the task."""

    task = "multilabel"

    def head(self, name: str, width: int, grid: Sequence[Axis], options: HeadOptions) -> Head:
        labels = tuple(options.labels or ())
        if width != len(labels):
            raise ValueError(f"labels: the network gives {width} logits, one for each label, got {len(labels)} labels")
        return Head(name=name, task=self.task, grid=tuple(grid), labels=labels, outputs=multilabel.outputs(grid))

    def outputs(self, head: Head, raw: Tensor, submodels: int, temperature: Tensor) -> tuple[Tensor, ...]:
        """Prediction and probabilities [B, K, *G], submodels [B, N, K, *G], three scores [B, K, *G], logits; of a dense
        head the shares [B, K] of cells, and the means [B] of the scores over labels and grid.

        Each label is a mixture of two classes, off and on, by itself: p̄ = mean_n sigmoid(z_n / T), entropies are
        Bernoulli's.
        """
        grid = len(head.grid)
        logits = by_submodel(raw, submodels, grid)
        # of a map before the labels: its cells stay side by side
        sides = -2 - grid if grid else -1
        found = mixture(two_sided(logits, dim=sides), temperature, sides)

        def on(values: Tensor) -> Tensor:
            return values.select(sides, 1) if grid else values[..., 1]

        probabilities = on(found.mean)
        # as a binary classifier at 0.5, which says the first class: off
        prediction = (probabilities > 0.5).long()
        scores = (found.entropy, found.expected_entropy, found.mutual_information)
        of_cells = (prediction, probabilities, on(found.submodels), *scores, logits)
        if not grid:
            return of_cells
        shares = over_grid(prediction.float(), grid)
        return (*of_cells, shares, *(over_grid(score, grid + 1) for score in scores))

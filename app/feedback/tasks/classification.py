"""Feedback on a classifier: hits, Brier score, log loss, and whether prediction sets hold the true class.

Figures of a row: the probabilities as float32, all K of them if K ≤ 32; otherwise those of the most probable classes,
the indices of these as uint16, and the sum of the squares of all K. How many classes: as many as the row's widest set
holds, but 32 at least and 256 at most. What is left of the probability counts as spread evenly over the classes that
were left out, and a class beyond the 256 as outside of every set.
"""

import math
from collections.abc import Sequence

import numpy as np

from app.contract.head import Head
from app.contract.tasks.classification import SET_TOLERANCE
from app.contract.tasks.task import Arrays
from app.feedback.tasks.task import FeedbackTask, Judgement, Region, Truth

ALL = 32
"""Most classes of which a receipt holds every probability: 128 bytes."""
MOST = 256
"""Most classes of others: 1540 bytes in all."""
_FLOAT32 = np.dtype("<f4")  # of a text, NumPy makes one at every call
_LEAST_PROBABILITY = 1e-12  # the log loss of a class that was given none is 27.6 nats, not infinite
_CLASSES = 2**16


class ClassificationFeedback(FeedbackTask):
    """All classifiers of at most 65,536 classes."""

    needed = ("probabilities",)

    def why_none(self, head: Head) -> str | None:
        """Indices have 16 bits."""
        return f"a head of more than {_CLASSES} classes has no receipts" if len(head.labels) > _CLASSES else None

    def figures(self, head: Head, found: Arrays) -> list[tuple[bytes, ...]]:
        """The probabilities; and the indices of those classes and the sum of squares if they are not all."""
        probabilities = found["probabilities"].astype(_FLOAT32, copy=False)
        width = probabilities.shape[1]
        if width <= ALL:
            whole, size = probabilities.tobytes(), 4 * width
            return [(whole[at : at + size],) for at in range(0, len(whole), size)]
        order = np.argsort(-probabilities, axis=1, kind="stable")[:, :MOST].astype("<u2")
        shown = np.take_along_axis(probabilities, order, axis=1)
        sets = head.calibration.prediction_sets if head.calibration else ()
        least = min((one.least_probability for one in sets), default=1.0) - SET_TOLERANCE
        counts = (shown >= least).sum(axis=1).clip(ALL, MOST).tolist()
        squares = np.square(probabilities, dtype=np.float64).sum(axis=1).astype("<f4")
        return [
            (shown[at, :count].tobytes(), order[at, :count].tobytes(), squares[at].tobytes())
            for at, count in enumerate(counts)
        ]

    def fits(self, head: Head, figures: Sequence[bytes]) -> bool:
        """K probabilities if K is small, otherwise as many indices as probabilities."""
        if len(head.labels) <= ALL:
            return len(figures) == 1 and len(figures[0]) == 4 * len(head.labels)
        return len(figures) == 3 and len(figures[0]) == 2 * len(figures[1]) >= 4 * ALL and len(figures[2]) == 4

    def losses(self, head: Head) -> tuple[str, ...]:
        """Brier score (0 to 2), and log loss in nats."""
        return ("brier", "nll")

    def regions(self, head: Head) -> tuple[Region, ...]:
        """Prediction sets."""
        sets = head.calibration.prediction_sets if head.calibration else ()
        return tuple(Region(f"prediction set {one.coverage:g}", one.coverage, one.rows) for one in sets)

    def truth(self, head: Head, given: Truth) -> int:
        """The index of a label, or an index."""
        labels = head.labels
        if isinstance(given, str):
            if given not in labels:
                raise ValueError(f"the model has no label {given[:100]!r}")
            return labels.index(given)
        if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given < len(labels):
            raise ValueError(f"expected a label, or an index from 0 to {len(labels) - 1}")
        return given

    def judge(self, head: Head, figures: Sequence[bytes], truth: int) -> Judgement:
        """Brier score Σ_k (p_k − y_k)², log loss −ln p_y."""
        shown = np.frombuffer(figures[0], "<f4").astype(np.float64)
        classes = np.frombuffer(figures[1], "<u2").tolist() if len(figures) > 1 else range(len(shown))
        hidden = len(head.labels) - len(shown)
        # float32 rounds the sum of all; of few classes it leaves what others have
        rest = max(0.0, 1.0 - float(shown.sum())) / hidden if hidden else 0.0
        known = truth in classes
        of_truth = float(shown[classes.index(truth)]) if known else rest
        best = int(shown.argmax())
        squares = float(np.frombuffer(figures[2], "<f4")[0]) if hidden else float(shown @ shown)
        wrong = classes[best] != truth
        sets = head.calibration.prediction_sets if head.calibration else ()
        covered = tuple(not wrong or (known and of_truth >= one.least_probability - SET_TOLERANCE) for one in sets)
        losses = {
            "brier": max(0.0, squares - 2 * of_truth + 1),
            "nll": -math.log(max(of_truth, _LEAST_PROBABILITY)),
        }
        return Judgement(losses, covered, wrong, float(shown[best]))

"""`make bench-drift`: how often the test for drift raises a false alarm, how soon a true one, and what it costs.

Beside it is what could have been instead: the same bets against the calibration's quantiles taken for exact, and the
distance of Kolmogorov and Smirnov with a bound for all times (Howard & Ramdas 2022, arXiv 1906.09712, theorem 2) and a
band of Dvoretzky, Kiefer and Wolfowitz around the calibration. Scores are those of the shipped Fashion-MNIST model on
test images, corrupted as in CIFAR-10-C, drawn with replacement; needs Fashion-MNIST.
"""

import argparse
import math
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.contract.calibration import Calibration
from app.contract.contract_model import Score
from app.telemetry.drift import MONITORED
from app.telemetry.drift_evidence import ALARM_AT, FALSE_ALARM, DriftEvidence
from models import artefact
from models.data.corruptions import corrupt
from models.data.fashion_mnist import fashion_mnist
from models.evaluation.head_session import HeadSession
from tests.serving import ROOT

REPOSITORY = ROOT / "models" / "repository"
KINDS = ("gaussian_noise", "gaussian_blur", "contrast", "rotation")
SEVERITIES = (1, 3, 5)
BATCH = 16
LIMIT = 100_000
REPEATS = 20
_SHARES = np.linspace(0, 1, 101)
Scores = dict[Score, NDArray[np.float64]]


class Bets:
    """The test that the service runs, on both scores."""

    def __init__(self, calibration: Calibration) -> None:
        self._tests = {
            name: DriftEvidence(calibration.quantiles[name], calibration.rows, len(MONITORED)) for name in MONITORED
        }

    def observe(self, scores: Scores) -> None:
        for name, test in self._tests.items():
            test.observe(scores[name])

    @property
    def alarm(self) -> bool:
        return sum(test.value for test in self._tests.values()) >= ALARM_AT


class Distance:
    """The distance of Kolmogorov and Smirnov at the calibration's quantiles, of all rows since the start."""

    def __init__(self, calibration: Calibration) -> None:
        self._edges = {name: np.asarray(calibration.quantiles[name]) for name in MONITORED}
        self._counts = {name: np.zeros(102) for name in MONITORED}
        self._doubt = FALSE_ALARM / 2 / len(MONITORED)
        self._band = math.sqrt(math.log(2 / self._doubt) / 2 / calibration.rows)
        self.alarm = False

    def observe(self, scores: Scores) -> None:
        for name, edges in self._edges.items():
            self._counts[name] += np.bincount(np.searchsorted(edges, scores[name]), minlength=102)
            rows = self._counts[name].sum()
            distance = np.abs(self._counts[name].cumsum()[:-1] / rows - _SHARES)[1:].max()
            bound = 0.85 * math.sqrt((math.log(math.log(rows) + 1) + 0.8 * math.log(1612 / self._doubt)) / rows)
            self.alarm |= bool(distance > self._band + bound)


def false_alarms(weeks: int, rows: int, calibration_rows: int, band: bool) -> int:
    """In how many weeks an alarm was raised at any time; each has calibration rows of its own."""
    rng, found = np.random.default_rng(0), 0
    for _ in range(weeks):
        quantiles = np.quantile(rng.random(calibration_rows), _SHARES)
        test = DriftEvidence(tuple(quantiles), calibration_rows if band else 10**15)
        for batch in range(0, rows, 1024):
            test.observe(rng.random(min(1024, rows - batch)))
            if test.value >= ALARM_AT:
                found += 1
                break
    return found


def scores_of(session: HeadSession, images: NDArray[np.float32]) -> Scores:
    """Both scores [B] of images."""
    found = session.run(images, MONITORED)
    return {name: found[name].astype(np.float64) for name in MONITORED}


def drawn(scores: Scores, rows: int, rng: np.random.Generator) -> Iterator[Scores]:
    """Batches of rows drawn with replacement."""
    for _ in range(0, rows, BATCH):
        at = rng.integers(len(scores["entropy"]), size=BATCH)
        yield {name: values[at] for name, values in scores.items()}


def rows_until_alarm(make: Callable[[], Bets | Distance], before: Scores, rows_before: int, after: Scores) -> float:
    """The median number of rows from a change to the alarm; infinite where there was none."""
    found = []
    for seed in range(REPEATS):
        rng, test, rows = np.random.default_rng(seed), make(), 0
        for batch in drawn(before, rows_before, rng):
            test.observe(batch)
        for batch in drawn(after, LIMIT, rng):
            test.observe(batch)
            rows += BATCH
            if test.alarm:
                break
        found.append(rows if test.alarm else math.inf)
    return float(np.median(found))


def microseconds(calibration: Calibration, scores: Scores, rows: int) -> float:
    """What the test of both scores adds to a batch, of a core; the best of ten times 640 batches."""
    test, batches, best = Bets(calibration), 640, math.inf
    batch = {name: values[:rows] for name, values in scores.items()}
    for _ in range(10):
        began = time.thread_time()
        for _ in range(batches):
            test.observe(batch)
        best = min(best, time.thread_time() - began)
    return best / batches * 1e6


def table(rows: Mapping[str, list[Any]], *heads: str) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *([name, *map(str, row)] for name, row in rows.items())]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weeks", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=604_800, help="in a week")
    options = parser.parse_args()

    print(f"\nFalse alarms in {options.weeks} weeks of {options.rows:,} rows\n")
    rates = {
        f"{rows:,}": [false_alarms(options.weeks, options.rows, rows, band) for band in (True, False)]
        for rows in (2500, 5000)
    }
    print(table(rates, "calibration rows", "with the band", "without"), flush=True)

    model, contract, _ = artefact.read(REPOSITORY, "fashion-mnist")
    session, calibration = HeadSession(model, contract, contract.head), contract.head.calibration
    if calibration is None:
        raise SystemExit("fashion-mnist is not calibrated")
    images = fashion_mnist().test.inputs
    clean = scores_of(session, images)
    print("\nMicroseconds for a batch of 1, 16, 256 and 1024 rows:")
    print([round(microseconds(calibration, clean, rows), 1) for rows in (1, 16, 256, 1024)])

    print("\nMedian rows until the alarm, at once and after 100,000 rows of the test images\n")
    kinds: dict[str, Callable[[Calibration], Bets | Distance]] = {"bets": Bets, "KS": Distance}
    found = {}
    for name, after in changes(session, images):
        medians = [
            rows_until_alarm(partial(make, calibration), clean, rows, after)
            for make in kinds.values()
            for rows in (0, 100_000)
        ]
        found[name] = [f"{furthest(calibration, after):.2f}", *(f"{rows:,.0f}" for rows in medians)]
    print(table(found, "change", "distance", *(f"{kind}{late}" for kind in kinds for late in ("", ", late"))))


def changes(session: HeadSession, images: NDArray[np.float32]) -> Iterator[tuple[str, Scores]]:
    """What the images may become, and the scores then."""
    yield "none", scores_of(session, images)
    for kind in KINDS:
        for severity in SEVERITIES:
            yield f"{kind} {severity}", scores_of(session, corrupt(images, kind, severity))


def furthest(calibration: Calibration, scores: Scores) -> float:
    """The largest distance of Kolmogorov and Smirnov of a score from the calibration rows."""
    return max(
        float(np.abs(np.searchsorted(np.sort(values), calibration.quantiles[name]) / len(values) - _SHARES).max())
        for name, values in scores.items()
    )


if __name__ == "__main__":
    main()

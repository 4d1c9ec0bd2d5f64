"""What a model's tallies say, with confidence intervals and a verdict on each promise; and the test for drift."""

from collections.abc import Mapping
from dataclasses import asdict

from app.api.feedback.schemas import (
    ConfidenceBin,
    DecisionQuality,
    DriftQuality,
    HeadQuality,
    Mean,
    PromiseQuality,
    ScoreDriftQuality,
    Share,
    VersionQuality,
)
from app.feedback.bounds import bernstein, wilson
from app.feedback.ledger import Ledger
from app.feedback.tally import BINS, Bin, Loss, PromisedRows, Tally, calibration_error
from app.telemetry.drift_report import DriftReport

_MOST = {"brier": 2.0}
"""The largest value of losses that have one."""


def versions(ledger: Ledger, drift: Mapping[int, DriftReport], model: str) -> list[VersionQuality]:
    """The versions of a model with truths or a test for drift, lowest first.

    Args:
        drift: what the test says, by version.
    """
    heads: dict[int, list[HeadQuality]] = {version: [] for version in drift}
    for (name, version, head), tally in sorted(ledger.tallies.items()):
        if name == model:
            heads.setdefault(version, []).append(_head(head, tally))
    return [
        VersionQuality(version=version, drift=_drift(drift.get(version)), heads=heads[version])
        for version in sorted(heads)
    ]


def _drift(report: DriftReport | None) -> DriftQuality | None:
    if report is None:
        return None
    scores = [ScoreDriftQuality(**{**asdict(score), "head": score.head or None}) for score in report.scores]
    return DriftQuality(evidence=report.evidence, alarm=report.alarm, scores=scores)


def _head(name: str, tally: Tally) -> HeadQuality:
    wrong = tally.wrong
    return HeadQuality(
        name=name or None,
        task=tally.head.task,
        rows=tally.rows,
        repeated=tally.repeats,
        accuracy=None if wrong is None else _share(tally.rows - wrong, tally.rows),
        losses={loss: _mean(sums, tally.rows, _MOST.get(loss)) for loss, sums in tally.losses.items()},
        calibration_error=calibration_error(tally.bins),
        reliability=[_bin(index, one) for index, one in enumerate(tally.bins)] or None,
        decisions=[
            DecisionQuality(
                action=action,
                share=_share(decided.rows, tally.rows),
                wrong=None if wrong is None else _share(decided.wrong, decided.rows),
            )
            for action, decided in tally.decisions.items()
            if decided.rows
        ],
        promises=[_promise(kept) for kept in tally.promises],
    )


def _share(hits: int, rows: int) -> Share:
    lower, upper = wilson(hits, rows)
    return Share(value=hits / rows if rows else None, lower=lower, upper=upper, rows=rows)


def _mean(sums: Loss, rows: int, most: float | None) -> Mean:
    value = sums.total / rows if rows else None
    if most is None:
        return Mean(value=value)
    lower, upper = bernstein(sums.total, sums.squares, rows, most)
    return Mean(value=value, lower=lower, upper=upper)


def _bin(index: int, one: Bin) -> ConfidenceBin:
    return ConfidenceBin(
        lower=index / BINS,
        upper=(index + 1) / BINS,
        confidence=one.confidence / one.rows if one.rows else None,
        hits=_share(one.hits, one.rows),
    )


def _promise(kept: PromisedRows) -> PromiseQuality:
    promise = kept.promise
    verdict, certainty = promise.verdict(kept.failures, kept.rows)
    return PromiseQuality(
        promise=promise.name,
        allowed=promise.allowed,
        failed=_share(kept.failures, kept.rows),
        verdict=verdict,
        certainty=certainty,
    )

"""Shows which version of each model answers, and how many versions are in which state."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


class States(NamedTuple):
    """The versions of a model."""

    answering: int | None
    """The one that answers requests which name none; None if the model does not answer."""
    states: tuple[str, ...]
    """The state of each version."""


class VersionGauges(Collector):
    """Gauges that each scrape reads anew.

    Attributes:
        read: the versions of each model at this moment, by its name.
    """

    def __init__(self) -> None:
        self.read: Callable[[], Mapping[str, States]] = dict

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The metric families for Prometheus."""
        answering = GaugeMetricFamily(
            "masksembles_answering_version",
            "The version that answers requests which name none; absent for a model that does not answer",
            labels=("model",),
        )
        versions = GaugeMetricFamily(
            "masksembles_versions",
            "Versions in the model repository by state: available, standby, unloaded or rejected",
            labels=("model", "state"),
        )
        for model, found in self.read().items():
            if found.answering is not None:
                answering.add_metric((model,), found.answering)
            for state, count in sorted(Counter(found.states).items()):
                versions.add_metric((model, state), count)
        yield answering
        yield versions

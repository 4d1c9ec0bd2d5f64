from pathlib import Path

import pytest

from app.api.inference import RequestedModel
from app.api.v2 import reports
from app.errors import UnknownModel, UnknownVersion
from tests.serving import application


def test_a_model_is_ready_only_while_the_service_is(folder: Path) -> None:
    services = application(folder).services
    assert reports.is_ready(services, RequestedModel("tiny", None))
    assert reports.is_ready(services, RequestedModel("tiny", 1))
    assert not reports.is_ready(services, RequestedModel("tiny", 2))  # rejected
    with pytest.raises(UnknownVersion):
        reports.is_ready(services, RequestedModel("tiny", 3))
    with pytest.raises(UnknownModel):
        reports.is_ready(services, RequestedModel("cats", None))
    services.stopping = True
    assert not reports.is_ready(services, RequestedModel("tiny", None))


def test_the_index_says_why_a_version_does_not_answer(folder: Path) -> None:
    registry = application(folder).services.registry
    entries = {(entry.name, entry.version): entry for entry in reports.index(registry, only_ready=False)}
    assert (entries["tiny", "1"].state, entries["tiny", "1"].reason) == ("READY", None)
    assert entries["tiny", "2"].state == "UNAVAILABLE"
    assert entries["tiny", "2"].reason
    assert "2" not in [entry.version for entry in reports.index(registry, only_ready=True)]

from pathlib import Path
from typing import Any

from tests import artefacts, dense_graphs, graphs
from tests.app.feedback.receipts import SECRET
from tests.serving import serving


def awaited(repository: Path, **settings: Any) -> set[str]:
    """The counters of rows, and their labels, before any truth came back."""
    with serving(repository, **settings) as client:
        lines = client.get("/metrics").text.splitlines()
    found = [line for line in lines if line.startswith("masksembles_feedback_rows_total{")]
    assert all(line.endswith(" 0.0") for line in found)
    return {line.partition("{")[2].partition("}")[0] for line in found if 'action="accept"' in line}


def test_heads_with_receipts_are_counted_from_zero(tmp_path: Path) -> None:
    artefacts.write(tmp_path, "both", *dense_graphs.two_heads())
    artefacts.write(tmp_path, "dense", *dense_graphs.segmentation())
    artefacts.write(tmp_path, "prices", *graphs.regressor(aleatoric=True))
    assert awaited(tmp_path, feedback_secret=SECRET.decode()) == {
        'action="accept",head="kind",model="both",version="1"',
        'action="accept",head="price",model="both",version="1"',
        'action="accept",head="",model="prices",version="1"',
    }


def test_a_version_that_does_not_answer_is_not_awaited(tmp_path: Path) -> None:
    for _ in range(2):
        artefacts.write(tmp_path, "prices", *graphs.regressor(aleatoric=True))
    assert awaited(tmp_path, feedback_secret=SECRET.decode()) == {'action="accept",head="",model="prices",version="2"'}


def test_without_a_secret_nothing_is_awaited(tmp_path: Path) -> None:
    artefacts.write(tmp_path, "prices", *graphs.regressor(aleatoric=True))
    assert awaited(tmp_path) == set()

from pathlib import Path

import pytest

from models.benchmark import report


def test_fill_replaces_what_stands_between_the_marks(tmp_path: Path) -> None:
    page, results = tmp_path / "results.md", tmp_path / "results"
    results.mkdir()
    (results / "seconds.md").write_text("| new |\n")
    (results / "unused.md").write_text("| never |\n")
    page.write_text("before\n<!-- seconds -->\n\n| old |\n\n<!-- /seconds -->\nafter <!-- ood -->\n")
    for _ in range(2):
        report.fill(page, results)
        assert page.read_text() == ("before\n<!-- seconds -->\n\n| new |\n\n<!-- /seconds -->\nafter <!-- ood -->\n")
    text = "<!-- seconds -->\n| old |\n"
    page.write_text(text)
    with pytest.raises(ValueError, match="<!-- seconds --> has no <!-- /seconds -->"):
        report.fill(page, results)
    assert page.read_text() == text

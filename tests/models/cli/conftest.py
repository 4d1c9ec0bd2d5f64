from pathlib import Path

import pytest

from models.cli import checkpoints


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where checkpoints go."""
    monkeypatch.setattr(checkpoints, "FOLDER", tmp_path)
    return tmp_path

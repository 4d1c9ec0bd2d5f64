import pytest
import torch

from models.export.fast_path import no_fast_path


@no_fast_path()
def failing() -> None:
    assert not torch.backends.mha.get_fastpath_enabled()
    raise KeyError


@pytest.mark.parametrize("enabled", [True, False])
def test_the_fast_path_is_off_within_and_as_before_after(enabled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mha, "_is_fastpath_enabled", enabled)
    with pytest.raises(KeyError):
        failing()
    assert torch.backends.mha.get_fastpath_enabled() is enabled

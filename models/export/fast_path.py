"""torch's fast path of attention, which skips the modules that masks stand in."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def no_fast_path() -> Iterator[None]:
    """Within it, nn.TransformerEncoderLayer and nn.MultiheadAttention run their modules one by one, dropout included.

    In evaluation mode torch else takes one fused operation where the shapes allow it, which never runs them.
    """
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)

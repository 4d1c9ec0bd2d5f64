"""Labels that go with what an untrained network answers, so that it can be calibrated on them."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


def labels_of(logits: Tensor) -> NDArray[np.int64]:
    """For logits [N, B, K] the class that each row favours more than others do, every seventh row another one."""
    mean = logits.detach().mean(dim=0).numpy()
    found = (mean - mean.mean(axis=0)).argmax(axis=-1)
    found[::7] = (found[::7] + 1) % mean.shape[1]
    return np.asarray(found)

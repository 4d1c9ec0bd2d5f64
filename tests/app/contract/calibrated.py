"""A small contract with a calibration, for tests of what is looked up in it."""

from collections.abc import Sequence

from app.contract import schema
from app.contract.calibration import Calibration
from tests.app.engine.fakes import CONTRACT

EVEN = tuple(at / 100 for at in range(101))


def calibrated(**tables: Sequence[float]) -> schema.Contract:
    """A contract whose scores have these quantiles, 0 % to 100 %."""
    calibration = Calibration(
        data="held out", rows=1000, temperature=1.0, nll_before=1.0, nll_after=1.0,
        quantiles={name: tuple(table) for name, table in tables.items()},
    )  # fmt: skip
    return CONTRACT.with_head(CONTRACT.head, calibration=calibration)

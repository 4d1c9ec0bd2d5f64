"""The service with a leak: no model that it ever loaded is let go. It shows that a test of memory would see one."""

import sys

from app import __main__
from app.engine import loader

kept: list[object] = []
load = loader.load


def load_and_keep(*arguments: object) -> object:
    model = load(*arguments)  # type: ignore[arg-type]
    kept.append(model)
    return model


loader.load = load_and_keep  # type: ignore[assignment]
sys.exit(__main__.main())

"""The service with a leak: no model that it ever loaded is let go. It shows that a test of memory would see one."""

import sys
from unittest.mock import patch

from app import __main__
from app.engine.bare_model import Servable
from app.engine.loader import Loader
from app.engine.model_versions import VerifiedModel

kept: list[Servable] = []
load = Loader.load


def load_and_keep(loader: Loader, version: VerifiedModel) -> Servable:
    model = load(loader, version)
    kept.append(model)
    return model


with patch.object(Loader, "load", load_and_keep):
    sys.exit(__main__.main())

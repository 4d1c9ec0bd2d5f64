"""The service: answers with the predictions and the uncertainty of exported Masksembles networks."""

import os

# Since 1.29 onnxruntime reports its use over the network unless this is set before it is first imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"

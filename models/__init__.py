"""The workshop: masks, layers, networks, training, calibration and the export to ONNX."""

import os

# Since 1.29 onnxruntime reports its use over the network unless this is set before it is first imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

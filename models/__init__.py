"""The workshop: masks, layers, networks, training, calibration and the export to ONNX."""

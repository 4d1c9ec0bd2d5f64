"""The Open Inference Protocol over gRPC. Nothing but the start imports this folder, and only where gRPC is on."""

"""What the service and the workshop agree on: the contract inside a model file, names, versions and paths."""

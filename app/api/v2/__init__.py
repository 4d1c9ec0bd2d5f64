"""The Open Inference Protocol v2 over REST, with the extensions that `reports.SERVER` names."""

"""The service: answers with the predictions and the uncertainty of exported Masksembles networks."""

"""POST /predict: rows in, predictions with their uncertainty out."""

"""Feedback: receipts come back with the truth, and what they say about a model."""

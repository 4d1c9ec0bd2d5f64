"""What became of the answers: receipts that go out with them, truths that come back, and whether promises hold."""

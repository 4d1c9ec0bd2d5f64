"""What the service reports about itself: metrics, statistics and logs."""

"""What the service tells about itself: metrics, statistics and logs."""

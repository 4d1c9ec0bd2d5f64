"""One HTML page with everything that the files of a version tell: no scripts, nothing loaded from elsewhere."""

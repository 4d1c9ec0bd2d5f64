"""Everything between HTTP and the graph: devices, sessions, models and their registry. Knows nothing of HTTP."""

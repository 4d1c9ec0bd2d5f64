"""Everything between HTTP and the graph: devices, sessions, models and the store. Knows nothing of HTTP."""

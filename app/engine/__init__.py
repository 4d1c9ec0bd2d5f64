"""Everything between HTTP and the graph: devices, sessions, models and their registry. It knows nothing of HTTP."""

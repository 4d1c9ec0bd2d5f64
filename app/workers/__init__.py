"""What the processes of a service share that serve on one port: where each has its place, and who is ready."""

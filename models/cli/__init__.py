"""The commands of the workshop, a file each: what they take, and what they do."""

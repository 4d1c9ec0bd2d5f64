"""The commands of the workshop, one file each: their options, and what they do."""

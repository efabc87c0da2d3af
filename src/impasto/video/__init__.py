"""Video: clips in and out, motion, and painted frames that are consistent over time."""

"""Quality of results: distances computed with networks that no loss uses."""

"""Content, style and total variation losses, their targets and their weighted sum."""

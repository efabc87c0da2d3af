"""``python -m impasto``."""

from impasto.cli import run

run()

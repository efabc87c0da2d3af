"""The installed version, in a module of its own: the metadata is read on first use only."""

from importlib.metadata import version

__version__ = version("impasto")

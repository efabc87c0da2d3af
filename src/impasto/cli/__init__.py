"""A person at a terminal: words become a recipe and files, and every refusal one line."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)

"""The frozen VGG networks, their layers, and the sources of their weights."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)

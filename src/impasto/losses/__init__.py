"""Content, style and total variation losses, their targets and their weighted sum."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)

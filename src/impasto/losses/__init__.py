"""How far a picture still is: content, style, total variation, their targets and their total."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)

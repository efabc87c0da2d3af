"""Work handed out to other processes, on this machine or on many; nothing of it knows of style."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)

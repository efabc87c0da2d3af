"""How good a picture is: judges that nothing optimizes, on networks that painted nothing."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)

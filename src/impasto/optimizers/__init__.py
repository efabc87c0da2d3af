"""How to go down: L-BFGS, the same by SciPy, and Adam. They know arrays, not style."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)

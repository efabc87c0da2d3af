"""L-BFGS, SciPy's L-BFGS, and Adam. They use arrays, and know no style."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)

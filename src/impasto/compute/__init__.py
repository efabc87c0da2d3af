"""Arrays of both engines, the Keras backend, and compiled kernels.

Knows arrays and tensors, but neither networks nor images.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)

"""Where numbers are made: arrays of either engine, the Keras backend, and compiled kernels.

Knows arrays and tensors; neither networks nor pictures.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)

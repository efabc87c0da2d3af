"""Generic task execution in worker processes, on this machine or others, by Dask."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)

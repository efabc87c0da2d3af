"""Neural style transfer: repaint a photograph in the manner of a painting.

Names are loaded on first use, so that importing the package loads no tensor library.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)

"""Neural style transfer by optimization: paint a content image in the style of a style image.

Names are loaded on first use, so importing the package loads no tensor library.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)

"""Image arrays and image files: reading, writing, metadata, colors, masks, videos, samples.

Pure functions of arrays, and the only code that opens image files. Knows no network.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)

"""Pixels and the files they come from: reading, writing, metadata, colors, masks, films, samples.

Pure functions of arrays, and the only code that opens picture files. Knows no network.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)

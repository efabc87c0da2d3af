"""All settings with their defaults, presets, and conversion from and to JSON and TOML."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)

"""What is asked for: every setting with its default, presets, JSON and TOML there and back."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)

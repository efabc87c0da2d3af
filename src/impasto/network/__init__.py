"""The frozen eye: VGG from Keras, its layers, and where its weights come from."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)

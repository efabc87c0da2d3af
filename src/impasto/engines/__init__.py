"""Two engines that compute features, losses and gradients: compiled kernels, and Keras.

The native engine (:mod:`~impasto.engines.native_engine`) runs C kernels on CPUs in float32, with
an explicit gradient for each loss. The Keras engine (:mod:`~impasto.engines.keras_engine`) runs
the same losses on TensorFlow, JAX or PyTorch, also on GPUs, with automatic differentiation.
"""

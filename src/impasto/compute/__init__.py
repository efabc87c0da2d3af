"""Arrays of both engines, the Keras backend, and compiled kernels.

Knows arrays and tensors, but neither networks nor images.
"""

"""Compiled kernels for processors: convolution, pooling and search in float32.

An optional extension in C; without a compiler the package is installed without it. See
:mod:`impasto.compute.native.kernels`.
"""

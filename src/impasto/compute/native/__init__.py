"""Compiled kernels for CPUs: convolution, pooling and search in float32.

An optional C extension; the package also installs without a compiler. See
:mod:`impasto.compute.native.kernels`.
"""

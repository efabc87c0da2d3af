"""Arrays of both engines, the Keras backend, and compiled kernels."""

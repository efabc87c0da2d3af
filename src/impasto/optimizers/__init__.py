"""L-BFGS, SciPy's L-BFGS, and Adam. They depend on arrays only."""

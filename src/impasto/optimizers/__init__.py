"""L-BFGS, SciPy's L-BFGS, and Adam. They use arrays, and know no style."""

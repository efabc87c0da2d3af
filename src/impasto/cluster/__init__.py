"""Generic task execution in worker processes, on this machine or others, by Dask."""

"""Jobs with files: job specifications, batches, sweeps, videos, plots and reports."""

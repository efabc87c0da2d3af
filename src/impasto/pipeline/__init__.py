"""One run from inputs to result: levels, events, checkpoints, forecasts."""

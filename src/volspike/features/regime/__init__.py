"""Features of the recent past, of the 1 s grid alone: volatility over many horizons, jumps, drift, time."""

"""Labels: future volatility on the 1 s grid, tau, spikes, and chronological splits."""

"""Which volatility makes a spike: thresholds compared by what they call one, and how results depend on it."""

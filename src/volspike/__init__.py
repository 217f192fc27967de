"""A sixty-second warning for crypto volatility."""

__version__ = "0.1.0"

"""Ticks to features: admission, the exact window engine, the feature sets, and their Parquet files."""

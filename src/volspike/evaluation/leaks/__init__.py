"""Detectors of leaks, one a file; docs/leaks.md lists them."""

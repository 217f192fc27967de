"""The raw archive: append, rotate, repair, read back, and bring foreign recordings in."""

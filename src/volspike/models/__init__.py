"""Models of the next sixty seconds: fit, calibrate, bundle, register, and predict one row at a time."""

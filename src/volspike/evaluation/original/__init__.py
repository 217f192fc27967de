"""The system whose published score is 0.9997, as it was, and the same rows under a label of the future."""

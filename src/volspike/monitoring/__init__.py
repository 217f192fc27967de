"""What a running job tells a monitoring system: metrics for Prometheus, and whether it works."""

"""Evaluation: scores with baselines and counts, episode metrics, pictures, reports."""

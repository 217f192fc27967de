"""Alerts: when one opens and closes, and how it is delivered."""

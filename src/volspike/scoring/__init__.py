"""Scoring: one prediction for each feature row, its grade a minute later, and a live scoreboard."""

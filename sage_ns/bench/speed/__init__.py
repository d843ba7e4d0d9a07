"""Measurements of speed, each with a ratio that can be compared between machines."""

"""Measurements of speed, each with the ratio that makes machines comparable."""

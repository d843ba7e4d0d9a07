"""Edits of an avatar's set of surfels: rows are added, removed, reordered and rebound, see `ops`."""

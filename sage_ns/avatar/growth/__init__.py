"""Edits of an avatar's set of surfels: adding, removing, reordering and rebinding rows, see `ops`."""

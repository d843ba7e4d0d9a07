"""Backward warps: from the world of a posed moment to the canonical world of the field."""

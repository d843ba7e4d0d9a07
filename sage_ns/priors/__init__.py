"""Priors learned from many people, and how they are learned."""

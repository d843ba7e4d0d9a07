"""Many captures in one go: train, draw and export each, as jobs that resume."""

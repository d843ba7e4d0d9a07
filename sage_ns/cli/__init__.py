"""Commands: sage-demo and sage-capture."""

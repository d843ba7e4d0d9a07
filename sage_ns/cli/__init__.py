"""Commands: sage-bench, -capture, -demo, -export, -import, -mouth-prior, -render and -view."""

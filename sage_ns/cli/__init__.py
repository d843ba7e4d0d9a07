"""Commands: sage-bench, -capture, -demo, -export, -import, -mouth-prior, -render and -view."""

from sage_ns.errors import show_as_panels

show_as_panels()  # Ctrl-C is one line also while a command still loads its packages

"""Independent jobs, each a process of its own, on this machine or on the machines of a Ray cluster."""

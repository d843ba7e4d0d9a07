"""Files, threads and progress bars: what every program needs, none of it about heads."""

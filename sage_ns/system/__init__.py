"""Files, threads, the console and progress bars; nothing here is specific to heads."""

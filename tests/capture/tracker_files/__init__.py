"""Tests of `sage_ns.capture.tracker_files`."""

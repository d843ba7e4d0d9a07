"""Cameras of a rig: files that state them, checks that they fit the pictures, and cameras that nobody has measured."""

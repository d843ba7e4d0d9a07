"""sage_ns: photoreal head avatars from very little footage, as a nerfstudio method."""

__version__ = "0.1.0"

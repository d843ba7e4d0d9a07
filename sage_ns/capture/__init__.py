"""Captures: what was recorded of a person, read from VHAP-style folders, checked, and split.

The nerfstudio dataparser is in ``sage_ns.plugin.dataparser``, which alone here imports nerfstudio when loaded.
"""

from sage_ns.capture.frames import Frame as Frame
from sage_ns.capture.images import background_color as background_color
from sage_ns.capture.images import load_image as load_image
from sage_ns.capture.images import recomposite as recomposite
from sage_ns.capture.layout import Capture as Capture
from sage_ns.capture.layout import read_capture as read_capture

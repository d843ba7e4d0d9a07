"""Captures: recordings of a person in VHAP-style folders, which this package reads, checks and splits.

The nerfstudio dataparser is in ``sage_ns.plugin.dataparser``; nothing in this package imports nerfstudio.
"""

from sage_ns.capture.frames import Frame as Frame
from sage_ns.capture.images import background_color as background_color
from sage_ns.capture.images import load_image as load_image
from sage_ns.capture.images import recomposite as recomposite
from sage_ns.capture.layout import Capture as Capture
from sage_ns.capture.layout import read_capture as read_capture

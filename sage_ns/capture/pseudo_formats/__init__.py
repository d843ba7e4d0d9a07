"""Folders of pseudo views that other programs write: one module per program, each of which registers its converter.

This file imports every module of the folder: a new program needs one new file.
"""

from __future__ import annotations

from sage_ns.capture.pseudo_formats.registry import CanonicalHead as CanonicalHead
from sage_ns.capture.pseudo_formats.registry import ViewsConverter as ViewsConverter
from sage_ns.capture.pseudo_formats.registry import converters as converters
from sage_ns.capture.pseudo_formats.registry import find_converter as find_converter
from sage_ns.system.registry import import_modules

import_modules(__name__, __path__)

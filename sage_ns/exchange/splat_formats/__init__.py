"""Splat files: one module per format, each of which registers its writer.

This file imports every module of the folder: a new format needs one new file. Commands build help texts from the
registry before they load torch; modules of formats therefore import heavy packages inside functions, not at their top.
"""

from __future__ import annotations

from sage_ns.exchange.splat_formats.registry import SplatWriter as SplatWriter
from sage_ns.exchange.splat_formats.registry import describe_writers as describe_writers
from sage_ns.exchange.splat_formats.registry import register_writer as register_writer
from sage_ns.exchange.splat_formats.registry import writer_of as writer_of
from sage_ns.exchange.splat_formats.registry import writers as writers
from sage_ns.exchange.splat_formats.registry import writers_table as writers_table
from sage_ns.system.registry import import_modules

import_modules(__name__, __path__)

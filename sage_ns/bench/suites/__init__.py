"""Suites: experiments as sets of rows with a table and a plot. One module per experiment registers its suites.

This file imports every module of the folder: a new suite needs one new file. ``sage-bench`` builds its help text from
the registry before it loads torch; these modules therefore import heavy packages inside functions.
"""

from __future__ import annotations

from sage_ns.bench.suites.registry import Suite as Suite
from sage_ns.bench.suites.registry import describe_suites as describe_suites
from sage_ns.bench.suites.registry import register_suite as register_suite
from sage_ns.bench.suites.registry import suite_of as suite_of
from sage_ns.bench.suites.registry import suites as suites
from sage_ns.system.registry import import_modules

import_modules(__name__, __path__)

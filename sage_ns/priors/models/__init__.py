"""Models of people: one module per model, each of which registers how it is learned and read.

This file imports every module of the folder: a new model needs one new file here, with its settings, and a field of
`sage_ns.cli.prior.Learn` for them. Commands build help texts from the registry before they load torch; modules of
models therefore import heavy packages inside functions, not at their top.
"""

from __future__ import annotations

from sage_ns.priors.models.registry import ModelSettings as ModelSettings
from sage_ns.priors.models.registry import PeopleModel as PeopleModel
from sage_ns.priors.models.registry import describe_models as describe_models
from sage_ns.priors.models.registry import model_of as model_of
from sage_ns.priors.models.registry import models as models
from sage_ns.priors.models.registry import register_model as register_model
from sage_ns.system.registry import import_modules

import_modules(__name__, __path__)

"""ICT-FaceKit's face model (Li et al. 2020, MIT licence) as a head model in FLAME's format."""

from __future__ import annotations

from sage_ns.rig.facekit.convert import head_model_from_facekit as head_model_from_facekit

"""The rig: head model files, FLAME parameters, skinning, regions, and binding of surfels to triangles."""

from __future__ import annotations

from sage_ns.rig.binding import Binding as Binding
from sage_ns.rig.binding import rebind as rebind
from sage_ns.rig.binding import rebinding_labels as rebinding_labels
from sage_ns.rig.binding import sample_binding as sample_binding
from sage_ns.rig.binding import to_local as to_local
from sage_ns.rig.binding import to_world as to_world
from sage_ns.rig.flame_files import in_time_order as in_time_order
from sage_ns.rig.flame_params import NUM_POSE as NUM_POSE
from sage_ns.rig.flame_params import FlameParams as FlameParams
from sage_ns.rig.flame_params import concatenate as concatenate
from sage_ns.rig.head_model import HEAD_MODEL_FILE as HEAD_MODEL_FILE
from sage_ns.rig.head_model import HeadModel as HeadModel
from sage_ns.rig.head_model import find_head_model as find_head_model
from sage_ns.rig.head_model import load_head_model as load_head_model
from sage_ns.rig.head_model import load_masks as load_masks
from sage_ns.rig.head_model import save_head_model as save_head_model
from sage_ns.rig.plausible import check_identity as check_identity
from sage_ns.rig.plausible import check_plausible as check_plausible
from sage_ns.rig.regions import Regions as Regions
from sage_ns.rig.skinning import identity_vertices as identity_vertices
from sage_ns.rig.skinning import joints as joints
from sage_ns.rig.skinning import pose_vertices as pose_vertices

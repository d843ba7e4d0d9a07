"""Some vertices of a head model as a rig of their own: posing a thousand points costs a fifth of posing the head."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Int
from torch import Tensor

from sage_ns.rig.head_model import JOINT_NAMES, HeadModel
from sage_ns.rig.regions import Regions


def few_vertices(
    model: HeadModel, vertices: Int[Tensor, "n"], num_shape: int | None = None, num_expression: int | None = None
) -> HeadModel:
    """Return a head model of some vertices, which every parameter moves as in the whole head.

    Joints are means over vertices that may not be among these. The five unposed joints are therefore five more
    vertices, behind the chosen ones, and the joint regressor selects them.

    Args:
        model: the whole head.
        vertices: which of its vertices to keep, in this order.
        num_shape: number of first identity directions to keep; all by default.
        num_expression: number of first expression directions to keep; all by default.
    """
    regressor = model.joint_regressor
    bases = {}
    for name, used in (("shape_basis", num_shape), ("expression_basis", num_expression)):
        basis = getattr(model, name)[..., :used]
        bases[name] = torch.cat([basis[vertices], torch.einsum("jv,vck->jck", regressor, basis)])
    count, num_joints = len(vertices), len(JOINT_NAMES)
    correctives = model.pose_basis.reshape(36, -1, 3)
    weights = regressor.new_zeros(count + num_joints, num_joints)
    weights[:count], weights[count:, 0] = model.skinning_weights[vertices], 1.0
    selects = regressor.new_zeros(num_joints, count + num_joints)
    selects[:, count:] = torch.eye(num_joints).to(regressor)
    return replace(
        model,
        name=f"{count} vertices of {model.name}",
        v_template=torch.cat([model.v_template[vertices], regressor @ model.v_template]),
        triangles=model.triangles[:0],
        pose_basis=torch.cat([correctives[:, vertices], correctives.new_zeros(36, num_joints, 3)], dim=1).flatten(1),
        joint_regressor=selects,
        skinning_weights=weights,
        regions=Regions(),
        expression_names=model.expression_names[:num_expression],
        uv=None,
        uv_triangles=None,
        landmark_triangles=None,
        landmark_barycentric=None,
        **bases,
    )

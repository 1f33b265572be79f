"""Linear blend skinning."""

import torch
from jaxtyping import Float
from torch import Tensor


def linear_blend_skinning(
    rest_vertices: Float[Tensor, "*batch vertices 3"],
    rest_joints: Float[Tensor, "*batch joints 3"],
    orientations: Float[Tensor, "*batch joints 3 3"],
    joints: Float[Tensor, "*batch joints 3"],
    skinning_weights: Float[Tensor, "vertices joints"],
) -> Float[Tensor, "*batch vertices 3"]:
    """Return the posed vertices x' = Σ_j w_j (G_j (x − c̄_j) + c_j).

    Xu et al., "GHUM & GHUML", CVPR 2020, eq. 2.

    Args:
        rest_vertices: x, vertices at rest, metres.
        rest_joints: c̄, joints at rest, metres.
        orientations: G, orientations of the posed joints.
        joints: c, positions of the posed joints, metres.
        skinning_weights: w, whose rows sum to one.
    """
    shifts = joints - (orientations @ rest_joints[..., None])[..., 0]
    # One product blends all transforms, columns of G first and the shift last.
    transforms = torch.cat((orientations.transpose(-1, -2), shifts[..., None, :]), dim=-2)
    blended = (skinning_weights @ transforms.flatten(-2)).unflatten(-1, (4, 3))
    x, y, z = rest_vertices.unsqueeze(-1).unbind(-2)
    first, second, third, shift = blended.unbind(-2)
    return shift + first * x + second * y + third * z

"""Coordinates of joint rotations: the logarithm about a center, and swing and twist of a bone."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from ..body.rotations import matrix_to_rotvec, rotvec_to_matrix


def cross_matrix(vectors: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Return [v]×, the skew-symmetric matrix with [v]× w = v × w.

    Example:
        >>> cross_matrix(torch.tensor([1.0, 2.0, 3.0])).int()
        tensor([[ 0, -3,  2],
                [ 3,  0, -1],
                [-2,  1,  0]], dtype=torch.int32)
    """
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack((zero, -z, y, z, zero, -x, -y, x, zero), dim=-1).unflatten(-1, (3, 3))


def log_map(
    rotations: Float[Tensor, "*batch 3 3"], centers: Float[Tensor, "*#batch 3 3"]
) -> Float[Tensor, "*batch 3"]:
    """Return log(Cᵀ R), the rotation vector that leads from the center C to R, radians.

    Example:
        >>> center = rotvec_to_matrix(torch.tensor([0.0, 0.0, 0.5]))
        >>> rotation = rotvec_to_matrix(torch.tensor([0.0, 0.0, 0.75]))
        >>> log_map(rotation, center)
        tensor([0.0000, 0.0000, 0.2500])
    """
    return matrix_to_rotvec(centers.transpose(-1, -2) @ rotations)


def inverse_right_jacobian(rotvec: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Return the derivative of log(exp(v) exp(δ)) by δ at zero, for rotation vectors v, radians.

    J_r⁻¹(v) = I + ½ [v]× + (1/θ² − cot(θ/2)/(2θ)) [v]×² with θ = ‖v‖: the inverse right Jacobian of
    SO(3) (Solà et al., "A micro Lie theory for state estimation in robotics", 2018, eq. 144).

    Example:
        >>> inverse_right_jacobian(torch.tensor([0.0, 0.0, torch.pi / 2]))
        tensor([[ 0.7854, -0.7854,  0.0000],
                [ 0.7854,  0.7854,  0.0000],
                [ 0.0000,  0.0000,  1.0000]])
    """
    angle = rotvec.norm(dim=-1)[..., None, None]
    safe = angle.clamp(min=1e-3)
    # Below a milliradian the series 1/12 + θ²/720 is exact to the last bit.
    factor = 1 / safe**2 - 1 / (2 * safe * torch.tan(safe / 2))
    factor = torch.where(angle < 1e-3, 1 / 12 + angle**2 / 720, factor)
    cross = cross_matrix(rotvec)
    return (
        torch.eye(3, dtype=rotvec.dtype, device=rotvec.device) + cross / 2 + factor * cross @ cross
    )


def swing_and_twist(
    rotations: Float[Tensor, "*batch joints 3 3"], frames: Float[Tensor, "joints 3 3"]
) -> Float[Tensor, "*batch joints 3"]:
    """Return flexion, abduction and twist of joints about their anatomical axes, radians.

    The swing is the shortest rotation that brings the bone to its direction, as a vector in the
    plane across the bone at rest; the twist is the rotation about the bone. They are singular only
    where the bone points opposite to its rest direction.

    Args:
        rotations: rotation of each joint in its parent's frame, relative to rest.
        frames: columns of each are the joint's flexion axis, its abduction axis and its twist
            axis, which lies along the bone; right-handed.

    Example:
        >>> flexed = rotvec_to_matrix(torch.tensor([[0.5, 0.0, 0.0]]))
        >>> swing_and_twist(flexed, torch.eye(3)[None])
        tensor([[0.5000, 0.0000, 0.0000]])
        >>> twisted = rotvec_to_matrix(torch.tensor([[0.0, 0.0, 0.5]]))
        >>> swing_and_twist(twisted, torch.eye(3)[None]).abs()
        tensor([[0.0000, 0.0000, 0.5000]])
    """
    local = frames.transpose(-1, -2) @ rotations @ frames  # the bone is the z axis here
    across = torch.stack((-local[..., 1, 2], local[..., 0, 2]), dim=-1)  # z × bone
    sine, cosine = across.norm(dim=-1), local[..., 2, 2]
    angle = torch.atan2(sine, cosine)
    ratio = torch.where(sine > 1e-6, angle / sine.clamp(min=1e-6), torch.ones_like(sine))
    trace = local.diagonal(dim1=-2, dim2=-1).sum(-1)
    twist = 2 * torch.atan2(local[..., 1, 0] - local[..., 0, 1], 1 + trace)
    return torch.cat((across * ratio[..., None], twist[..., None]), dim=-1)


def step_jacobian(
    function: Callable[[Float[Tensor, "*batch joints 3 3"]], Float[Tensor, "*batch joints 3"]],
    rotations: Float[Tensor, "*batch joints 3 3"],
) -> Float[Tensor, "*batch joints 3 3"]:
    """Return the derivative of a function of each joint by steps δ in R exp(δ), at δ = 0.

    Args:
        function: maps rotations to three coordinates of each joint, independent of other joints.
        rotations: R, at which to differentiate.
    """
    steps = rotations.new_zeros(rotations.shape[:-1]).requires_grad_()
    with torch.enable_grad():
        coordinates = function(rotations.detach() @ rotvec_to_matrix(steps))
        rows = [
            torch.autograd.grad(coordinates[..., row].sum(), steps, retain_graph=row < 2)[0]
            for row in range(3)
        ]
    return torch.stack(rows, dim=-2)

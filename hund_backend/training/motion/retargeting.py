"""Retargeting: clips of a pack as motions of our body."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ...body.rotations import matrix_to_rotvec, rotvec_to_matrix
from ...body.skeleton import JOINT_INDEX, MIRROR
from .packs import CORRESPONDENCES, POINTS, Pack, PositionPack
from .position_transfer import rotations_of_positions
from .rotation_transfer import SourceClip, transfer_rotations

STILL_ANGLE = 0.2  # radians by which the arms of a person who stands still sway


@dataclass(frozen=True, kw_only=True)
class RetargetedClip:
    """A clip as poses of our body, in a world whose axes are the body frame's at rest (y up)."""

    name: str
    rotations: Float[Tensor, "frames 63 3 3"]  # parent-relative; the pelvis in the world
    translation: Float[Tensor, "frames 3"]  # of the pelvis, in lengths of the leg
    fps: float


def retarget_pack(pack: Pack, rest_joints: Float[Tensor, "63 3"]) -> Iterator[RetargetedClip]:
    """Clips of a pack on our body, without the T-poses that they start with.

    Args:
        pack: clips of one of the kinds in `CORRESPONDENCES`.
        rest_joints: our joints at rest, body frame.
    """
    names = CORRESPONDENCES[pack.name]
    for clip, name in enumerate(pack.clip_names):
        start, stop = pack.clip_starts[clip] + names.rest_frames, pack.clip_starts[clip + 1]
        if stop - start < 2:
            continue
        source = SourceClip(pack, names, clip, slice(start, stop))
        rotations = transfer_rotations(source, rest_joints)
        still = _num_still_frames(rotations) if names.starts_still else 0
        yield RetargetedClip(
            name=f"{pack.name}/{name.rsplit('.', 1)[0]}",
            rotations=rotations[still:],
            translation=(source.root_positions / source.leg_length)[still:],
            fps=pack.fps,
        )


def retarget_positions(
    pack: PositionPack, rest_joints: Float[Tensor, "63 3"]
) -> Iterator[RetargetedClip]:
    """Clips of a pack of positions on our body."""
    for clip, name in enumerate(pack.clip_names):
        frames = slice(pack.clip_starts[clip], pack.clip_starts[clip + 1])
        positions = torch.from_numpy(pack.positions[frames])
        hip, knee, ankle = (
            positions[:, POINTS.index(f"l_{point}")] for point in ("hip", "knee", "ankle")
        )
        leg = ((hip - knee).norm(dim=-1) + (knee - ankle).norm(dim=-1)).median()
        yield RetargetedClip(
            name=f"{pack.name}/{name}",
            rotations=rotations_of_positions(positions, rest_joints),
            translation=positions[:, POINTS.index("pelvis")] / leg,
            fps=pack.fps,
        )


def _num_still_frames(rotations: Float[Tensor, "frames 63 3 3"]) -> int:
    """Number of frames at the start in which the upper arms do not move."""
    arms = rotations[:, [JOINT_INDEX[f"Upperarm{side}"] for side in "LR"]]
    moved = matrix_to_rotvec(arms[:1].mT @ arms).norm(dim=-1).amax(-1) > STILL_ANGLE
    return int(moved.nonzero()[0]) if moved.any() else len(rotations) - 1


def mirror_rotations(
    rotations: Float[Tensor, "*batch 63 3 3"],
) -> Float[Tensor, "*batch 63 3 3"]:
    """Parent-relative rotations mirrored across the body's plane of symmetry."""
    flip = torch.tensor([-1.0, 1.0, 1.0], dtype=rotations.dtype)
    return (flip[:, None] * rotations * flip)[..., MIRROR, :, :]


def heading(
    orientation: Float[Tensor, "frames 3 3"],
) -> Float[Tensor, "frames 3 3"]:
    """Rotation about the vertical that is nearest to an orientation."""
    angle = torch.atan2(
        orientation[:, 0, 2] - orientation[:, 2, 0], orientation[:, 0, 0] + orientation[:, 2, 2]
    )
    return rotvec_to_matrix(angle[:, None] * orientation.new_tensor([0.0, 1.0, 0.0]))

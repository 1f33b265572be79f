"""Clips of our body, and how the clips of a pack become them."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from hund_backend.body.rotations import matrix_to_rotvec, rotvec_to_matrix
from hund_backend.body.skeleton import JOINT_INDEX, MIRROR

from .packs import CORRESPONDENCES, Pack
from .rotation_transfer import Source, transferred

STILL = 0.2  # radians by which the arms of somebody who waits sway


@dataclass(frozen=True, kw_only=True)
class Motion:
    """A clip as poses of our body, in a world whose axes are the body frame's at rest (y up)."""

    name: str
    rotations: Float[Tensor, "frames 63 3 3"]  # parent-relative; the pelvis in the world
    translation: Float[Tensor, "frames 3"]  # of the pelvis, in lengths of the leg
    fps: float


def motions(pack: Pack, rest_joints: Float[Tensor, "63 3"]) -> Iterator[Motion]:
    """All clips of a pack as motions of our body, without the T-poses they open with.

    Args:
        pack: clips of one of the kinds in `CORRESPONDENCES`.
        rest_joints: our joints at rest, body frame.
    """
    names = CORRESPONDENCES[pack.name]
    for clip, name in enumerate(pack.clip_names):
        start, stop = pack.clip_starts[clip] + names.opening, pack.clip_starts[clip + 1]
        if stop - start < 2:
            continue
        source = Source(pack, names, clip, slice(start, stop))
        rotations, places = transferred(source, rest_joints), source.places / source.leg
        waited = _waited(rotations) if names.waits else 0
        yield Motion(
            name=f"{pack.name}/{name.rsplit('.', 1)[0]}",
            rotations=rotations[waited:],
            translation=places[waited:],
            fps=pack.fps,
        )


def _waited(rotations: Float[Tensor, "frames 63 3 3"]) -> int:
    """How many frames from the start the upper arms stay where they are."""
    arms = rotations[:, [JOINT_INDEX[f"Upperarm{side}"] for side in "LR"]]
    moved = matrix_to_rotvec(arms[:1].mT @ arms).norm(dim=-1).amax(-1) > STILL
    return int(moved.nonzero()[0]) if moved.any() else len(rotations) - 1


def mirrored(
    rotations: Float[Tensor, "*batch 63 3 3"],
) -> Float[Tensor, "*batch 63 3 3"]:
    """The same pose seen in a mirror across the body's plane of symmetry."""
    flip = torch.tensor([-1.0, 1.0, 1.0], dtype=rotations.dtype)
    return (flip[:, None] * rotations * flip)[..., MIRROR, :, :]


def heading(
    orientation: Float[Tensor, "frames 3 3"],
) -> Float[Tensor, "frames 3 3"]:
    """The turn about the vertical that is nearest to an orientation."""
    angle = torch.atan2(
        orientation[:, 0, 2] - orientation[:, 2, 0], orientation[:, 0, 0] + orientation[:, 2, 2]
    )
    return rotvec_to_matrix(angle[:, None] * orientation.new_tensor([0.0, 1.0, 0.0]))

"""Hand poses of recordings and of keyed animations, as rotations of our finger joints.

All sources are turned into 21 points of a left hand first. Hands differ in their bones' lengths, so
not the points but the directions of the bones, seen from the palm, are what our hand takes over;
where points leave a twist open, it is the least one within the ranges of anatomy.
"""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file, save
from torch import Tensor

from ...atomic_write import write_file
from ...body.hand import PALM_POINTS, POINT_PARENTS, HandModel
from ...body.kinematics import forward_kinematics
from ...body.procrustes import aligning_rotation
from ...body.rotations import rotvec_to_matrix
from ...prior.hand_anatomy import NUM_HAND_JOINTS, THUMB_BASE, HandAnatomy
from ..motion.packs import Pack, read_pack

RECORDED = "hands21_permissive.npz"
PACKS = ("quaternius_ual_cc0", "mesh2motion_cc0")
_FINGERS = ("thumb", "index", "middle", "ring", "pinky")
_ITERATIONS, _RATE = 150, 0.08
_PACK_STRIDE = 4  # frames of a keyed animation are much alike
_MIRROR = np.array([-1.0, 1.0, 1.0])


@dataclass(frozen=True, kw_only=True)
class HandCaptures:
    """Rotations of the left hand's finger joints, one clip after the other."""

    rotations: Float[Tensor, "frames 15 3 3"]
    clips: Int[Tensor, " frames"]  # number of the clip of each frame
    errors_deg: Float[Tensor, " frames"]  # mean angle between our bones and theirs


def hand_captures(
    hands: Path, mocap: Path, model: HandModel, kept: Path | None = None
) -> HandCaptures:
    """Read all sources and take their poses over, which takes two minutes.

    Args:
        hands: folder of RECORDED.
        mocap: folder of the packs.
        model: our hand.
        kept: file (.safetensors) of the result of an earlier call; written if it is missing.
    """
    if kept is not None and kept.exists():
        return HandCaptures(**load_file(kept))
    groups = recorded_points(hands / RECORDED)
    for name in PACKS:
        groups += pack_points(read_pack(mocap / f"{name}_30fps.npz"))
    points = torch.from_numpy(np.concatenate(groups)).float()
    clips = torch.repeat_interleave(
        torch.arange(len(groups)), torch.tensor([len(group) for group in groups])
    )
    rotations, errors = fit_rotations(points, model, HandAnatomy(model.rest))
    captures = HandCaptures(rotations=rotations, clips=clips, errors_deg=errors)
    if kept is not None:
        write_file(kept, save(vars(captures)))
    return captures


def recorded_points(path: Path) -> list[Float[np.ndarray, "frames 21 3"]]:
    """Return the points of recorded hands, mirrored to left, by clip."""
    with np.load(path, allow_pickle=False) as file:
        points, starts = file["pos"].astype(np.float64) * _MIRROR, file["clip_start"]
    return [points[start:end] for start, end in pairwise(starts)]


def pack_points(pack: Pack) -> list[Float[np.ndarray, "frames 21 3"]]:
    """Return the points of both hands of a pack with fingers, right ones mirrored, by clip.

    A finger's end that the pack lacks lies as far behind its last joint as that behind the one
    before, in the same direction at rest.
    """
    groups = []
    for clip, (start, end) in enumerate(pairwise(pack.clip_starts)):
        rest = pack.rest_joints(clip)
        rotvecs = pack.rotvecs[start:end:_PACK_STRIDE]
        local = rotvec_to_matrix(torch.from_numpy(rotvecs))
        orientations, joints = forward_kinematics(
            local, rest.expand(len(local), -1, -1), pack.parents
        )
        for side in "lr":
            rows = [_joint(pack, "hand", side)]
            tips = []
            for finger in _FINGERS:
                bones = [_joint(pack, f"{finger}_0{bone}", side) for bone in (1, 2, 3)]
                rows += [*bones, bones[-1]]  # the tip's place is computed below
                along = rest[bones[2]] - rest[bones[1]]
                tips.append(joints[:, bones[2]] + orientations[:, bones[2]] @ along)
            points = joints[:, rows].clone()
            points[:, 4::4] = torch.stack(tips, dim=1)
            groups.append(points.numpy() * (_MIRROR if side == "r" else 1.0))
    return groups


def fit_rotations(
    points: Float[Tensor, "frames 21 3"], model: HandModel, anatomy: HandAnatomy
) -> tuple[Float[Tensor, "frames 15 3 3"], Float[Tensor, " frames"]]:
    """Return rotations whose bones point as those of the points do, and the mean angles left.

    Args:
        points: of left hands, in any frame and unit.
        model: our hand.
        anatomy: its joints' axes and ranges.
    """
    rest = model.rest
    palm = list(PALM_POINTS)
    wrist = points[:, :1]
    size = rest[palm].norm(dim=-1).mean() / (points - wrist)[:, palm].norm(dim=-1).mean(-1)
    target = (points - wrist) * size[:, None, None]
    # Palms of the sources are those of other people: knuckles weigh more than the thumb's base.
    weights = torch.tensor([1.0, 0.2, 1.0, 1.0, 1.0, 1.0])
    rotation = aligning_rotation(rest[palm], target[:, palm], weights.expand(len(points), -1))
    target = target @ rotation  # rows of points in the palm's frame
    fingers = [row for row, parent in enumerate(POINT_PARENTS) if parent > 0]
    parents = [POINT_PARENTS[row] for row in fingers]

    def directions(values: Tensor) -> Tensor:
        return torch.nn.functional.normalize(values[:, fingers] - values[:, parents], dim=-1)

    wanted = directions(target)
    free = torch.zeros(NUM_HAND_JOINTS, 3)
    free[:, 0] = 1.0
    free[0:THUMB_BASE:3, 1] = 1.0  # knuckles spread; the hinges behind them do not
    free[THUMB_BASE] = 1.0
    free[THUMB_BASE + 1, 1] = 0.3
    angles = torch.zeros(len(points), NUM_HAND_JOINTS, 3, requires_grad=True)
    optimizer = torch.optim.Adam([angles], lr=_RATE)
    identity = torch.eye(3).expand(len(points), 1, 3, 3)
    for _ in range(_ITERATIONS):
        rotations = anatomy.rotations(angles * free)
        posed = model.joints(torch.cat((identity, rotations), dim=1), rest)
        error = (directions(posed) - wanted).square().sum((-1, -2))
        loss = error + 2.0 * anatomy.excess(rotations).square().sum(-1)
        loss = loss + 0.02 * (angles * free)[..., 1:].square().sum((-1, -2))
        optimizer.zero_grad()
        loss.sum().backward()
        optimizer.step()
    with torch.no_grad():
        rotations = anatomy.rotations(angles * free)
        posed = model.joints(torch.cat((identity, rotations), dim=1), rest)
        cosines = (directions(posed) * wanted).sum(-1).clamp(-1, 1)
    return rotations, cosines.arccos().rad2deg().mean(-1)


def _joint(pack: Pack, part: str, side: str) -> int:
    """Return the index of a hand's joint in a pack, whatever its style of names."""
    finger, _, bone = part.partition("_")
    prefix = "" if finger in ("thumb", "hand") else "f_"
    names = (f"{part}_{side}", f"DEF-{prefix}{finger}{'.' + bone if bone else ''}.{side.upper()}")
    return next(row for row, name in enumerate(pack.joint_names) if name in names)

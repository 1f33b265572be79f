"""Motion capture packs, and how their poses become poses of our body."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from hund_backend.body.rotations import matrix_to_rotvec, rotvec_to_matrix
from hund_backend.body.skeleton import JOINT_INDEX, JOINT_NAMES, MIRROR, PARENTS
from hund_backend.prior.limits import elbow_axis

OPENING = 0.5  # seconds at the start of a clip in which CMU's actors often stand in a T-pose
# Clavicles rise by about 30° while the arm rises by 180° (Ludewig et al., 2009); no pack records it.
CLAVICLE_SHARE = 0.17


@dataclass(frozen=True, kw_only=True)
class Pack:
    """Clips of one kind of skeleton, as parent-relative rotations.

    Forward kinematics: R_j = R_parent exp(rotvec_j), p_j = p_parent + R_parent offset_j.
    """

    name: str
    joint_names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: Float[np.ndarray, "skeletons joints 3"]  # the pack's own length
    clip_names: tuple[str, ...]
    clip_starts: Int[np.ndarray, " boundaries"]  # one more than clips
    clip_skeletons: Int[np.ndarray, " clips"]
    rotvecs: Float[np.ndarray, "frames joints 3"]
    root_positions: Float[np.ndarray, "frames 3"]
    fps: float


@dataclass(frozen=True, kw_only=True)
class Correspondence:
    """Which joint of a pack turns which joint of ours; `{side}` stands for the pack's side names."""

    pelvis: str
    chest: str
    head: str
    thigh: str
    calf: str
    foot: str
    upperarm: str
    lowerarm: str
    hand: str
    clavicle: str | None = None
    toes: str | None = None
    sides: tuple[str, str] = ("left", "right")
    opening: float = OPENING

    def on(self, side: str, joint: str) -> str:
        """The pack's name of a limb's joint on our side "L" or "R"."""
        return getattr(self, joint).format(side=self.sides["LR".index(side)])


CORRESPONDENCES = {
    "cmu_subset": Correspondence(
        pelvis="hip",
        chest="chest",
        head="head",
        thigh="{side}Thigh",
        calf="{side}Shin",
        foot="{side}Foot",
        clavicle="{side}Collar",
        upperarm="{side}Shldr",
        lowerarm="{side}ForeArm",
        hand="{side}Hand",
        sides=("l", "r"),
    ),
    "cmu_eval8": Correspondence(
        pelvis="Hips",
        chest="Spine1",
        head="Head",
        thigh="{side}UpLeg",
        calf="{side}Leg",
        foot="{side}Foot",
        toes="{side}ToeBase",
        clavicle="{side}Shoulder",
        upperarm="{side}Arm",
        lowerarm="{side}ForeArm",
        hand="{side}FingerBase",  # the pack's hand only rolls; its finger base bends
        sides=("Left", "Right"),
    ),
    "deepmimic": Correspondence(
        pelvis="root",
        chest="chest",
        head="neck",
        thigh="{side}_hip",
        calf="{side}_knee",
        foot="{side}_ankle",
        upperarm="{side}_shoulder",
        lowerarm="{side}_elbow",
        hand="{side}_wrist",
        opening=0.0,
    ),
}


@dataclass(frozen=True, kw_only=True)
class Motion:
    """A clip as poses of our body, in a world whose axes are the body frame's at rest (y up)."""

    name: str
    rotations: Float[Tensor, "frames 63 3 3"]  # parent-relative; the pelvis in the world
    translation: Float[Tensor, "frames 3"]  # of the pelvis, in lengths of the leg
    fps: float


def read_pack(path: Path) -> Pack:
    """Read a pack of clips (`<name>_30fps.npz`).

    Args:
        path: file with `names parents offsets clip_names clip_start clip_skel rotvec root_pos fps`.
    """
    with np.load(path, allow_pickle=False) as arrays:
        return Pack(
            name=path.stem.removesuffix("_30fps"),
            joint_names=tuple(str(name) for name in arrays["names"]),
            parents=tuple(int(parent) for parent in arrays["parents"]),
            offsets=arrays["offsets"].astype(np.float64),
            clip_names=tuple(str(name) for name in arrays["clip_names"]),
            clip_starts=arrays["clip_start"].astype(np.int64),
            clip_skeletons=arrays["clip_skel"].astype(np.int64),
            rotvecs=arrays["rotvec"].astype(np.float64),
            root_positions=arrays["root_pos"].astype(np.float64),
            fps=float(arrays["fps"]),
        )


def motions(pack: Pack, rest_joints: Float[Tensor, "63 3"]) -> Iterator[Motion]:
    """All clips of a pack as motions of our body, without their openings.

    Args:
        pack: clips of one of the kinds in `CORRESPONDENCES`.
        rest_joints: our joints at rest, body frame.
    """
    correspondence = CORRESPONDENCES[pack.name]
    opening = round(correspondence.opening * pack.fps)
    for clip, name in enumerate(pack.clip_names):
        start, stop = pack.clip_starts[clip] + opening, pack.clip_starts[clip + 1]
        if stop - start < 2:
            continue
        source = _Source(pack, correspondence, clip, slice(start, stop))
        yield Motion(
            name=f"{pack.name}/{name}",
            rotations=_transferred(source, rest_joints),
            translation=source.places / source.leg,
            fps=pack.fps,
        )


def mirrored(
    rotations: Float[Tensor, "*batch 63 3 3"],
) -> Float[Tensor, "*batch 63 3 3"]:
    """The same pose seen in a mirror across the body's plane of symmetry."""
    flip = torch.tensor([-1.0, 1.0, 1.0], dtype=rotations.dtype)
    return (flip[:, None] * rotations * flip)[..., MIRROR, :, :]


class _Source:
    """One clip of a pack, turned into our axes: x to the left, y up, z to the front."""

    def __init__(self, pack: Pack, names: Correspondence, clip: int, frames: slice) -> None:
        self.pack, self.names = pack, names
        offsets = torch.from_numpy(pack.offsets[pack.clip_skeletons[clip]])
        local = rotvec_to_matrix(torch.from_numpy(pack.rotvecs[frames]))
        turned, places = [], []
        for joint, parent in enumerate(pack.parents):
            if parent < 0:
                turned.append(local[:, joint])
                places.append(torch.zeros(3, dtype=torch.float64))
            else:
                turned.append(turned[parent] @ local[:, joint])
                places.append(places[parent] + offsets[joint])
        self._turned, self._rest = turned, places
        self._axes = self._body_axes()
        self.places = torch.from_numpy(pack.root_positions[frames]) @ self._axes.T
        self.leg = self.bone(names.on("L", "thigh"), names.on("L", "calf")).norm()
        self.leg = self.leg + self.bone(names.on("L", "calf"), names.on("L", "foot")).norm()

    def turned(self, joint: str) -> Float[Tensor, "frames 3 3"]:
        """How far a joint is turned from the pack's rest pose, in our axes."""
        return self._axes @ self._turned[self.pack.joint_names.index(joint)] @ self._axes.T

    def bone(self, joint: str, child: str) -> Float[Tensor, " 3"]:
        """From a joint to another at the pack's rest, in our axes."""
        index = self.pack.joint_names.index
        return self._axes @ (self._rest[index(child)] - self._rest[index(joint)])

    def hinge(self, joint: str) -> Float[Tensor, " 3"]:
        """The axis about which a joint of one degree of freedom bends, in our axes at rest."""
        turns = self.pack.rotvecs[:, self.pack.joint_names.index(joint)]
        axis = torch.from_numpy(turns.mean(0))
        return self._axes @ (axis / axis.norm())

    def _body_axes(self) -> Float[Tensor, "3 3"]:
        index, names = self.pack.joint_names.index, self.names
        left = (
            self._rest[index(names.on("L", "thigh"))] - self._rest[index(names.on("R", "thigh"))]
        )
        left = left / left.norm()
        up = self._rest[index(names.head)] - self._rest[index(names.pelvis)]
        up = up - (up @ left) * left
        up = up / up.norm()
        return torch.stack((left, up, torch.linalg.cross(left, up)))


def _transferred(
    source: _Source, rest_joints: Float[Tensor, "63 3"]
) -> Float[Tensor, "frames 63 3 3"]:
    """Our joints turned in the world as the source's are, bones along the source's bones."""
    names = source.names
    pelvis, chest, head = (source.turned(j) for j in (names.pelvis, names.chest, names.head))
    world = {"Pelvis": pelvis, "Spine03": chest, "Head01": head}
    world["Spine01"], world["Spine02"] = (
        _between(pelvis, chest, 1 / 3),
        _between(pelvis, chest, 2 / 3),
    )
    world["Neck01"] = _between(chest, head, 1 / 2)
    rest = rest_joints.double()
    for side in "LR":
        world |= _leg(source, side, rest)
        world |= _arm(source, side, rest, chest)
    return _local(world)


def _leg(source: _Source, side: str, rest: Tensor) -> dict[str, Float[Tensor, "frames 3 3"]]:
    names = source.names
    thigh, calf, foot = (names.on(side, joint) for joint in ("thigh", "calf", "foot"))
    world = {
        f"Thigh{side}": source.turned(thigh)
        @ _shortest(_bone(rest, "Thigh", "Calf", side), source.bone(thigh, calf)),
        f"Calf{side}": source.turned(calf)
        @ _shortest(_bone(rest, "Calf", "Ankle", side), source.bone(calf, foot)),
        f"Ankle{side}": source.turned(foot),  # both rest with flat feet
    }
    if names.toes is not None:
        world[f"Ball{side}"] = source.turned(names.on(side, "toes"))
    return world


def _arm(
    source: _Source, side: str, rest: Tensor, chest: Float[Tensor, "frames 3 3"]
) -> dict[str, Float[Tensor, "frames 3 3"]]:
    names = source.names
    upper, lower, hand = (names.on(side, joint) for joint in ("upperarm", "lowerarm", "hand"))
    lower_fit = _shortest(_bone(rest, "Lowerarm", "Hand", side), source.bone(lower, hand))
    at_rest = _bone(rest, "Upperarm", "Lowerarm", side)
    upper_fit = _shortest(at_rest, source.bone(upper, lower))
    # Packs roll their arms differently at rest, so that elbows bend about different axes of the
    # upper arm. The rolled arm bends about ours; the hand keeps its place in the world.
    roll = _roll(elbow_axis(side), upper_fit.T @ source.hinge(lower), at_rest)
    turned = source.turned(upper) @ upper_fit @ roll
    swing = _shortest(at_rest, (chest.transpose(-1, -2) @ turned) @ at_rest)
    rising = matrix_to_rotvec(swing) * torch.tensor([0.0, CLAVICLE_SHARE, CLAVICLE_SHARE])
    return {
        f"Clavicle{side}": chest @ rotvec_to_matrix(rising),
        f"Upperarm{side}": turned,
        f"Lowerarm{side}": source.turned(lower) @ lower_fit @ roll,
        f"Hand{side}": source.turned(hand) @ lower_fit,
    }


def _local(
    world: dict[str, Float[Tensor, "frames 3 3"]],
) -> Float[Tensor, "frames 63 3 3"]:
    """Parent-relative rotations; joints that are not given move with their parents."""
    turned, local = [], []
    for joint, name in enumerate(JOINT_NAMES):
        parent = turned[PARENTS[joint]] if joint else torch.eye(3, dtype=torch.float64)
        turned.append(world.get(name, parent))
        local.append(parent.transpose(-1, -2) @ turned[joint])
    return torch.stack(local, dim=1)


def _bone(rest: Float[Tensor, "63 3"], joint: str, child: str, side: str) -> Float[Tensor, " 3"]:
    return rest[JOINT_INDEX[child + side]] - rest[JOINT_INDEX[joint + side]]


def _shortest(
    start: Float[Tensor, "*#batch 3"], end: Float[Tensor, "*#batch 3"]
) -> Float[Tensor, "*batch 3 3"]:
    """The shortest rotation from one direction to another."""
    start = start / start.norm(dim=-1, keepdim=True)
    end = end / end.norm(dim=-1, keepdim=True)
    start, end = torch.broadcast_tensors(start, end)
    axis = torch.linalg.cross(start, end)
    sine = axis.norm(dim=-1, keepdim=True)
    angle = torch.atan2(sine, (start * end).sum(-1, keepdim=True))
    return rotvec_to_matrix(axis / sine.clamp(min=1e-9) * angle)


def _roll(
    start: Float[Tensor, " 3"], end: Float[Tensor, " 3"], bone: Float[Tensor, " 3"]
) -> Float[Tensor, "3 3"]:
    """The turn about a bone that brings one direction across it towards another."""
    bone = bone / bone.norm()
    start, end = start - (start @ bone) * bone, end - (end @ bone) * bone
    return _shortest(start, end)


def _between(
    start: Float[Tensor, "frames 3 3"], end: Float[Tensor, "frames 3 3"], share: float
) -> Float[Tensor, "frames 3 3"]:
    """A rotation part of the way from one to another."""
    return start @ rotvec_to_matrix(share * matrix_to_rotvec(start.transpose(-1, -2) @ end))

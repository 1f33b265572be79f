"""Motion capture packs, and the correspondence of their joints to ours."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor


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

    def rest_joints(self, clip: int) -> Float[Tensor, "joints 3"]:
        """Rest positions of a clip's skeleton, the root at the origin, in the pack's length."""
        offsets = torch.from_numpy(self.offsets[self.clip_skeletons[clip]])
        positions = [torch.zeros(3, dtype=torch.float64)]
        for joint, parent in enumerate(self.parents[1:], start=1):
            positions.append(positions[parent] + offsets[joint])
        return torch.stack(positions)


@dataclass(frozen=True, kw_only=True)
class Correspondence:
    """Joint of a pack for each joint of ours; `{side}` stands for the pack's side names."""

    pelvis: str
    chest: str
    head: str
    thigh: str
    calf: str
    foot: str
    upperarm: str
    lowerarm: str
    hand: str
    toes: str | None = None
    sides: tuple[str, str] = ("left", "right")
    rest_frames: int = 0  # frames at the start of each clip that show the rest pose
    starts_still: bool = False  # clips start with people who stand still in a T-pose
    # The rest is drawn with bent elbows and knees, but the rotations were made for straight ones:
    # copies of the same takes in CMU's own skeleton differ by just these bends.
    straight_rest: bool = False
    # Correction of the head: with CMU's own skeleton walkers look down by 15°, with its conversion
    # the same walkers look up by 5°; people who walk look ahead or slightly down.
    head_pitch_deg: float = 0.0
    tilted_feet: bool = False  # at rest the soles are tilted with the legs, not flat
    # Rotations refer to a skeleton whose bones all point up. There neither feet nor palms have a
    # direction: feet are flat in the first frame of this clip, and the thumb says where palms face.
    flat_feet: str | None = None
    thumb: str | None = None

    @property
    def has_toes(self) -> bool:
        """Whether the toes' rotations can be used."""
        return self.toes is not None and self.flat_feet is None

    def side_joint(self, side: str, joint: str) -> str:
        """Name in the pack of a limb's joint on our side "L" or "R"."""
        return getattr(self, joint).format(side=self.sides["LR".index(side)])


CORRESPONDENCES = {
    "cmu_subset": Correspondence(
        pelvis="hip",
        chest="chest",
        head="head",
        thigh="{side}Thigh",
        calf="{side}Shin",
        foot="{side}Foot",
        upperarm="{side}Shldr",
        lowerarm="{side}ForeArm",
        hand="{side}Hand",
        sides=("l", "r"),
        head_pitch_deg=7.0,
        tilted_feet=True,
        straight_rest=True,
        rest_frames=1,
    ),
    "cmu_eval8": Correspondence(
        pelvis="Hips",
        chest="Spine1",
        head="Head",
        thigh="{side}UpLeg",
        calf="{side}Leg",
        foot="{side}Foot",
        toes="{side}ToeBase",
        upperarm="{side}Arm",
        lowerarm="{side}ForeArm",
        hand="{side}FingerBase",  # the pack's hand only rolls; its finger base bends
        sides=("Left", "Right"),
        rest_frames=1,
        head_pitch_deg=-9.0,
        tilted_feet=True,
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
    ),
    "isaacgym_cmu": Correspondence(
        pelvis="pelvis",
        chest="torso",
        head="head",
        thigh="{side}_thigh",
        calf="{side}_shin",
        foot="{side}_foot",
        upperarm="{side}_upper_arm",
        lowerarm="{side}_lower_arm",
        hand="{side}_hand",
    ),
    "bvh11_cmu131": Correspondence(
        pelvis="Hips",
        chest="Chest2",
        head="Head",
        thigh="{side}Hip",
        calf="{side}Knee",
        foot="{side}Ankle",
        toes="{side}Toe",
        upperarm="{side}Shoulder",
        lowerarm="{side}Elbow",
        hand="{side}Wrist",
        sides=("Left", "Right"),
        head_pitch_deg=-9.0,
        tilted_feet=True,
    ),
    "cmu_exercise_13_14": Correspondence(
        pelvis="root",
        chest="thorax",
        head="head",
        thigh="{side}femur",
        calf="{side}tibia",
        foot="{side}foot",
        toes="{side}toes",
        upperarm="{side}humerus",
        lowerarm="{side}radius",
        hand="{side}hand",
        sides=("l", "r"),
        head_pitch_deg=-9.0,
        tilted_feet=True,
    ),
    "quaternius_ual_cc0": Correspondence(
        pelvis="DEF-hips",
        chest="DEF-spine.003",
        head="DEF-head",
        thigh="DEF-thigh.{side}",
        calf="DEF-shin.{side}",
        foot="DEF-foot.{side}",
        toes="DEF-toe.{side}",
        upperarm="DEF-upper_arm.{side}",
        lowerarm="DEF-forearm.{side}",
        hand="DEF-hand.{side}",
        sides=("L", "R"),
        flat_feet="Idle_Loop",
        thumb="DEF-thumb.01.{side}",
    ),
    "mesh2motion_cc0": Correspondence(
        pelvis="pelvis",
        chest="spine_03",
        head="head",
        thigh="thigh_{side}",
        calf="calf_{side}",
        foot="foot_{side}",
        toes="ball_{side}",
        upperarm="upperarm_{side}",
        lowerarm="lowerarm_{side}",
        hand="hand_{side}",
        sides=("l", "r"),
        flat_feet="Idle Listening",
        thumb="thumb_01_{side}",
    ),
    "animdraw_fair": Correspondence(
        pelvis="Hips",
        chest="Spine3",
        head="Head",
        thigh="{side}UpLeg",
        calf="{side}Leg",
        foot="{side}Foot",
        toes="{side}ToeBase",
        upperarm="{side}Arm",
        lowerarm="{side}ForeArm",
        hand="{side}Hand",
        sides=("Left", "Right"),
        starts_still=True,
    ),
}


@dataclass(frozen=True, kw_only=True)
class PositionPack:
    """Clips of joint positions, y up, metres."""

    name: str
    clip_names: tuple[str, ...]
    clip_starts: Int[np.ndarray, " boundaries"]  # one more than clips
    positions: Float[np.ndarray, "frames points 3"]  # in the order of POINTS, in the world
    fps: float


# Points that describe a pose by positions.
POINTS = (
    *("pelvis", "l_hip", "l_knee", "l_ankle", "l_toe", "r_hip", "r_knee", "r_ankle", "r_toe"),
    *("spine", "neck", "head", "l_shoulder", "l_elbow", "l_wrist"),
    *("r_shoulder", "r_elbow", "r_wrist"),
)


def read_position_pack(path: Path) -> PositionPack:
    """Read a pack of positions relative to the pelvis (`<name>_30fps.npz`).

    Args:
        path: file with `joint_names pos clip_names clip_start fps`.
    """
    with np.load(path, allow_pickle=False) as arrays:
        names = [str(joint) for joint in arrays["joint_names"]]
        relative = arrays["pos"].astype(np.float64)[:, [names.index(point) for point in POINTS]]
        relative[:, 1:] += relative[:, :1]
        return PositionPack(
            name=path.stem.removesuffix("_30fps"),
            clip_names=tuple(str(clip) for clip in arrays["clip_names"]),
            clip_starts=arrays["clip_start"].astype(np.int64),
            positions=relative,
            fps=float(arrays["fps"]),
        )


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

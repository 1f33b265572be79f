"""Motion set: clips of our body for training priors and networks, split and checked."""

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from ...atomic_write import write_file
from ...body.file import BODY_FILE
from ...body.kinematics import forward_kinematics
from ...body.model import BodyModel
from ...body.skeleton import JOINT_INDEX, PARENTS
from ...errors import BadInputError
from .artifacts import ArtifactRules
from .contacts import Soles, floor_height, sole_contacts
from .depenetration import Depenetration
from .duplicates import STRIDE, take_of_clips
from .foot_repair import FootRepair
from .packs import CORRESPONDENCES, read_pack, read_position_pack
from .retargeting import (
    RetargetedClip,
    heading,
    mirror_rotations,
    retarget_pack,
    retarget_positions,
)

logger = logging.getLogger(__name__)

Split = Literal["train", "validation", "held_out"]

# Of takes that several packs have, the first pack's copy is kept: CMU's own skeleton has toes.
PACKS = (
    "cmu_eval8",
    "bvh11_cmu131",
    "cmu_subset",
    "deepmimic",
    "animdraw_fair",
    "isaacgym_cmu",
    "cmu_exercise_13_14",
    "positions_cmu_c3d_85_135",
    "quaternius_ual_cc0",
    "mesh2motion_cc0",
)
FPS = 30.0
HELD_OUT = (
    "cmu_subset/05",
    "cmu_subset/12",
    "deepmimic/humanoid3d_cartwheel",
    "deepmimic/humanoid3d_spinkick",
    "mesh2motion_cc0/Crawl",
    "mesh2motion_cc0/Kneeling Tired",
    "mesh2motion_cc0/Meditate",
    "mesh2motion_cc0/Pushup",
    "mesh2motion_cc0/Sleeping",
    "quaternius_ual_cc0/Sitting",
    "positions_cmu_c3d_85_135/cmu_c3d/85_12",
)
VALIDATION_SHARE = 0.1  # of the frames that are not held out
LENGTH_TOLERANCE = 3  # frames by which cuts of one take may differ
# Joints by whose positions takes are compared.
COMPARED_JOINTS = ("Calf", "Ankle", "Lowerarm", "Hand")


@dataclass(frozen=True, kw_only=True)
class MotionSet:
    """Clips of our mean body, concatenated, in a world with y up and the floor at 0."""

    rotations: Float[Tensor, "frames 63 3 3"]  # parent-relative; the pelvis in the world
    translation: Float[Tensor, "frames 3"]  # of the pelvis, metres
    contacts: Bool[Tensor, "frames 4"]  # left heel, left toe, right heel, right toe on the floor
    starts: Int[Tensor, " boundaries"]  # first frame of each clip, and the number of frames
    names: tuple[str, ...]  # of the clips, with their pack: "cmu_subset/05_02"
    splits: tuple[Split, ...]  # of the clips
    usable: Bool[Tensor, " frames"]  # without artifacts
    fps: float

    @property
    def clips(self) -> Int[Tensor, " frames"]:
        """Index of the clip of each frame."""
        return torch.repeat_interleave(torch.arange(len(self.names)), self.starts.diff())

    def frames_of(self, split: Split) -> Bool[Tensor, " frames"]:
        """Mask of the usable frames of a split."""
        inside = torch.tensor([name == split for name in self.splits])
        return inside[self.clips] & self.usable

    def weights(self) -> Float[Tensor, " frames"]:
        """Sampling weight of each frame: a clip weighs as the square root of its usable length.

        So minutes of walking do not dominate. Frames that are not usable weigh nothing.
        """
        counts = torch.zeros(len(self.names)).index_add(0, self.clips, self.usable.float())
        return self.usable * counts.clamp(min=1).rsqrt()[self.clips]

    def mirrored(self) -> "MotionSet":
        """The same clips mirrored across x = 0."""
        return replace(
            self,
            rotations=mirror_rotations(self.rotations),
            translation=self.translation * torch.tensor([-1.0, 1.0, 1.0]),
            contacts=self.contacts[:, [2, 3, 0, 1]],
        )


def motion_set(
    folder: Path, cache: Path | None = None, packs: tuple[str, ...] = PACKS
) -> MotionSet:
    """Read the motion set of a folder of packs (`<name>_30fps.npz`), building it the first time.

    Args:
        folder: of the packs.
        cache: folder in which the built set is kept; by default $HUND_CACHE, else `hund` in the
            user's cache folder. It can be deleted at any time.
        packs: which of them; of takes that several have, the first one's copy is kept.
    """
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    cache = cache or Path(os.environ.get("HUND_CACHE") or user / "hund")
    path = cache / "motion" / f"{_cache_key(folder, packs)}.safetensors"
    if not path.exists():
        _write(build_motion_set(folder, packs=packs), path)
    return _read(path)


def build_motion_set(
    folder: Path, clips_per_pack: int | None = None, packs: tuple[str, ...] = PACKS
) -> MotionSet:
    """Retarget, check and split the motions of a folder of packs.

    Args:
        folder: of the packs.
        clips_per_pack: number of clips to take of each pack; all by default.
        packs: which of them, the preferred ones first.
    """
    clips = _clips(folder, clips_per_pack, packs)
    features = [_take_features(clip.rotations) for clip in clips]
    take = take_of_clips(features, [clip.pack for clip in clips])
    held_out = {take[i] for i, clip in enumerate(clips) if clip.name.startswith(HELD_OUT)}
    kept = sorted(_representatives(clips, take, packs))
    for i, clip in enumerate(clips):
        if i not in kept:
            logger.info(
                "%s is the same take as %s", clip.name, _representative_name(clips, take, kept, i)
            )
    rules = ArtifactRules()
    violations = [rules.violations(clips[i].rotations, clips[i].fps) for i in kept]
    chosen = [clips[i] for i in kept]
    lengths = torch.tensor([0, *(len(clip.rotations) for clip in chosen)])
    return MotionSet(
        rotations=torch.cat([clip.rotations.float() for clip in chosen]),
        translation=torch.cat([clip.translation.float() for clip in chosen]),
        contacts=torch.cat([clip.contacts for clip in chosen]),
        starts=lengths.cumsum(0),
        names=tuple(clip.name for clip in chosen),
        splits=_splits([take[i] in held_out for i in kept], lengths[1:].tolist()),
        usable=torch.cat([~torch.stack(list(found.values())).any(0) for found in violations]),
        fps=FPS,
    )


@dataclass(frozen=True, kw_only=True)
class _Clip:
    pack: str
    name: str
    rotations: Float[Tensor, "frames 63 3 3"]
    translation: Float[Tensor, "frames 3"]
    contacts: Bool[Tensor, "frames 4"]
    fps: float


def _clips(folder: Path, clips_per_pack: int | None, packs: tuple[str, ...]) -> list[_Clip]:
    """Clips of all packs on our mean body, with repaired feet and the floor at 0."""
    rest = BodyModel.load("keypoints").rest_template
    soles, foot_repair, depenetration = Soles(), FootRepair(), Depenetration()
    leg = _leg_length(rest)
    clips = []
    for path in _paths(folder, packs):
        name = path.stem.removesuffix("_30fps")
        for motion in islice(_retargeted(path, rest), clips_per_pack):
            assert motion.fps == FPS
            translation = motion.translation * leg
            rotations = foot_repair.repair_ankles(motion.rotations, motion.fps)
            rotations = depenetration.resolve(rotations)
            if name not in CORRESPONDENCES or not CORRESPONDENCES[name].has_toes:
                rotations = foot_repair.add_toes(rotations, translation[:, 1])
            sole_points = soles.positions(rotations, translation)
            translation[:, 1] -= floor_height(sole_points)
            clips.append(
                _Clip(
                    pack=name,
                    name=motion.name,
                    rotations=rotations,
                    translation=translation,
                    contacts=sole_contacts(sole_points, motion.fps),
                    fps=motion.fps,
                )
            )
    return clips


def _retargeted(path: Path, rest: Float[Tensor, "63 3"]) -> Iterator[RetargetedClip]:
    """Clips of a pack on our body, from rotations where the pack's rest is a person's."""
    if path.stem.removesuffix("_30fps") in CORRESPONDENCES:
        return retarget_pack(read_pack(path), rest)
    return retarget_positions(read_position_pack(path), rest)


def _take_features(
    rotations: Float[Tensor, "frames 63 3 3"],
) -> Float[np.ndarray, "poses features"]:
    """Positions of limbs and head relative to the pelvis, turned to the front."""
    rotations = rotations[::STRIDE].clone()
    rotations[:, 0] = heading(rotations[:, 0]).mT @ rotations[:, 0]
    rest = BodyModel.load("keypoints").rest_template.double().expand(len(rotations), -1, -1)
    _, joints = forward_kinematics(rotations, rest, PARENTS)
    ends = [JOINT_INDEX[f"{name}{side}"] for name in COMPARED_JOINTS for side in "LR"]
    ends.append(JOINT_INDEX["Head01"])
    return (joints[:, ends] - joints[:, :1]).flatten(1).numpy()


def _representatives(
    clips: list[_Clip], take: Int[np.ndarray, " clips"], packs: tuple[str, ...]
) -> list[int]:
    """Clip that is kept of each take: the longest, of equal ones that of the first pack."""
    kept: dict[int, int] = {}
    for clip, take_id in enumerate(take):
        best = kept.setdefault(take_id, clip)
        longer_by = len(clips[clip].rotations) - len(clips[best].rotations)
        earlier = packs.index(clips[clip].pack) < packs.index(clips[best].pack)
        if longer_by > LENGTH_TOLERANCE or (earlier and longer_by >= -LENGTH_TOLERANCE):
            kept[take_id] = clip
    return list(kept.values())


def _representative_name(clips: list[_Clip], take: np.ndarray, kept: list[int], clip: int) -> str:
    return next(clips[i].name for i in kept if take[i] == take[clip])


def _splits(held_out: list[bool], lengths: list[int]) -> tuple[Split, ...]:
    """Split of each clip: a clip goes to validation whenever that has too few frames so far.

    Clips of an activity follow one another, so validation has clips of all activities.
    """
    splits: list[Split] = []
    total = validating = 0
    for is_held_out, length in zip(held_out, lengths, strict=True):
        if is_held_out:
            splits.append("held_out")
            continue
        total += length
        if validating + length / 2 < VALIDATION_SHARE * total:
            validating += length
            splits.append("validation")
        else:
            splits.append("train")
    return tuple(splits)


def _leg_length(rest: Float[Tensor, "63 3"]) -> float:
    hip, knee, ankle = (rest[JOINT_INDEX[f"{name}L"]] for name in ("Thigh", "Calf", "Ankle"))
    return float((hip - knee).norm() + (knee - ankle).norm())


def _paths(folder: Path, packs: tuple[str, ...]) -> list[Path]:
    paths = [folder / f"{name}_30fps.npz" for name in packs]
    paths = [path for path in paths if path.exists()]
    if not paths:
        raise BadInputError(f"{folder} has no pack of motions (<name>_30fps.npz): name another.")
    return paths


def _cache_key(folder: Path, packs: tuple[str, ...]) -> str:
    """Hash of the packs, of our body and of the code that builds the set."""
    package = Path(__file__).parent
    sources = [package / f"{name}.py" for name in SOURCES]
    sources += [package.parents[1] / "prior" / "limits.py", BODY_FILE]
    content = hashlib.sha256()
    for path in (*_paths(folder, packs), *sources):
        content.update(hashlib.sha256(path.read_bytes()).digest())
    return content.hexdigest()[:16]


# Code that the cached set depends on.
SOURCES = (
    *("artifacts", "capsules", "contacts", "depenetration", "duplicates", "foot_repair"),
    *("inverse_kinematics", "limb_roll", "motion_set", "packs", "position_transfer"),
    *("retargeting", "rotation_transfer"),
)
TENSORS = ("rotations", "translation", "contacts", "starts", "usable")


def _write(motions: MotionSet, path: Path) -> None:
    header = {"names": motions.names, "splits": motions.splits, "fps": motions.fps}
    tensors = {name: getattr(motions, name).contiguous() for name in TENSORS}
    write_file(path, save(tensors, {"clips": json.dumps(header)}))


def _read(path: Path) -> MotionSet:
    with safe_open(path, "pt") as file:
        header = json.loads(file.metadata()["clips"])
        assert set(header["splits"]) <= set(get_args(Split))
        return MotionSet(
            **{name: file.get_tensor(name) for name in TENSORS},
            names=tuple(header["names"]),
            splits=tuple(header["splits"]),
            fps=header["fps"],
        )

"""The set of motions that priors and networks learn from: clips of our body, split and checked."""

import hashlib
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, Int
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from hund_backend.body.file import BODY_FILE
from hund_backend.body.model import BodyModel
from hund_backend.body.skeleton import JOINT_INDEX
from hund_backend.prior.limits import JointLimits

from .contacts import Soles, contacts, floor_height
from .motion import mirrored, motions, read_pack

Split = Literal["train", "validation", "held_out"]

PACKS = ("cmu_subset", "cmu_eval8", "deepmimic")
HELD_OUT = (
    "cmu_subset/05",
    "cmu_subset/12",
    "deepmimic/humanoid3d_cartwheel",
    "deepmimic/humanoid3d_spinkick",
)
VALIDATION_SHARE = 0.1  # of the frames that are not held out
TOLERANCE = 0.26  # radians beyond the joint limits at which a frame is a fault of the capture


@dataclass(frozen=True, kw_only=True)
class MotionSet:
    """Clips of our mean body in a row, in a world with y up and the floor at 0."""

    rotations: Float[Tensor, "frames 63 3 3"]  # parent-relative; the pelvis in the world
    translation: Float[Tensor, "frames 3"]  # of the pelvis, metres
    contacts: Bool[Tensor, "frames 4"]  # left heel, left toe, right heel, right toe on the floor
    starts: Int[Tensor, " boundaries"]  # first frame of each clip, and the number of frames
    names: tuple[str, ...]  # of the clips, with their pack: "cmu_subset/05_02"
    splits: tuple[Split, ...]  # of the clips
    usable: Bool[Tensor, " frames"]  # passes the rules for artefacts
    fps: float

    @property
    def clips(self) -> Int[Tensor, " frames"]:
        """The clip of each frame."""
        return torch.repeat_interleave(torch.arange(len(self.names)), self.starts.diff())

    def frames_of(self, split: Split) -> Bool[Tensor, " frames"]:
        """Usable frames of a split."""
        inside = torch.tensor([name == split for name in self.splits])
        return inside[self.clips] & self.usable

    def weights(self) -> Float[Tensor, " frames"]:
        """Weight of each usable frame: a clip weighs as the square root of its usable length.

        So minutes of walking do not drown the rest. Frames that are not usable weigh nothing.
        """
        counts = torch.zeros(len(self.names)).index_add(0, self.clips, self.usable.float())
        return self.usable * counts.clamp(min=1).rsqrt()[self.clips]

    def mirrored(self) -> "MotionSet":
        """The same clips seen in a mirror across x = 0."""
        return replace(
            self,
            rotations=mirrored(self.rotations),
            translation=self.translation * torch.tensor([-1.0, 1.0, 1.0]),
            contacts=self.contacts[:, [2, 3, 0, 1]],
        )


def motion_set(folder: Path, cache: Path | None = None) -> MotionSet:
    """The motions of a folder of packs (`<name>_30fps.npz`), made once and then read back.

    Args:
        folder: where the packs are.
        cache: where to keep what was made of them; none is $HUND_CACHE, else `hund` in the user's
            cache folder. Delete it at will.
    """
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    cache = cache or Path(os.environ.get("HUND_CACHE") or user / "hund")
    path = cache / "motion" / f"{_key(folder)}.safetensors"
    if not path.exists():
        _write(_made(folder), path)
    return _read(path)


def _made(folder: Path) -> MotionSet:
    body = BodyModel.load("keypoints")
    rest, limits, soles = body.rest_template, JointLimits(torch.float64), Soles()
    leg = _leg_length(rest)
    rotations, translation, standing, usable, names = [], [], [], [], []
    for name in PACKS:
        for motion in motions(read_pack(folder / f"{name}_30fps.npz"), rest):
            places = motion.translation * leg
            under = soles.places(motion.rotations, places)
            places[:, 1] -= floor_height(under)
            rotations.append(motion.rotations.float())
            translation.append(places.float())
            standing.append(contacts(under, motion.fps))
            excess = limits.excess(motion.rotations[:, 1:]).abs().amax((-2, -1))
            usable.append(excess < TOLERANCE)
            names.append(motion.name.removesuffix(".bvh").removesuffix(".txt"))
    lengths = torch.tensor([0, *map(len, rotations)])
    return MotionSet(
        rotations=torch.cat(rotations),
        translation=torch.cat(translation),
        contacts=torch.cat(standing),
        starts=lengths.cumsum(0),
        names=tuple(names),
        splits=_splits(names, lengths[1:].tolist()),
        usable=torch.cat(usable),
        fps=30.0,
    )


def _splits(names: list[str], lengths: list[int]) -> tuple[Split, ...]:
    """Splits of clips: in the order of their names a clip validates whenever too few frames do."""
    splits: list[Split] = []
    seen = validating = 0
    for name, length in zip(names, lengths, strict=True):
        if name.startswith(HELD_OUT):
            splits.append("held_out")
            continue
        seen += length
        if validating + length / 2 < VALIDATION_SHARE * seen:
            validating += length
            splits.append("validation")
        else:
            splits.append("train")
    return tuple(splits)


def _leg_length(rest: Float[Tensor, "63 3"]) -> float:
    hip, knee, ankle = (rest[JOINT_INDEX[f"{name}L"]] for name in ("Thigh", "Calf", "Ankle"))
    return float((hip - knee).norm() + (knee - ankle).norm())


def _key(folder: Path) -> str:
    """Changes with the packs, with our body and with the code that brings them together."""
    here = Path(__file__).parent
    sources = [here / f"{name}.py" for name in SOURCES]
    sources += [here.parent / "prior" / "limits.py", BODY_FILE]
    packs = [folder / f"{name}_30fps.npz" for name in PACKS]
    content = hashlib.sha256()
    for path in (*packs, *sources):
        content.update(hashlib.sha256(path.read_bytes()).digest())
    return content.hexdigest()[:16]


# Code that the cached set depends on.
SOURCES = ("contacts", "motion", "motion_set")
TENSORS = ("rotations", "translation", "contacts", "starts", "usable")


def _write(motions: MotionSet, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    described = {"names": motions.names, "splits": motions.splits, "fps": motions.fps}
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    tensors = {name: getattr(motions, name).contiguous() for name in TENSORS}
    save_file(tensors, aside, {"clips": json.dumps(described)})
    aside.replace(path)


def _read(path: Path) -> MotionSet:
    with safe_open(path, "pt") as file:
        described = json.loads(file.metadata()["clips"])
        assert set(described["splits"]) <= set(get_args(Split))
        return MotionSet(
            **{name: file.get_tensor(name) for name in TENSORS},
            names=tuple(described["names"]),
            splits=tuple(described["splits"]),
            fps=described["fps"],
        )

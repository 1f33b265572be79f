"""Poses beyond those that were captured: mirrored, recombined, shaken, and stirred within the limits."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hund_backend.body.rotations import rotvec_to_matrix
from hund_backend.body.skeleton import JOINT_NAMES
from hund_backend.prior.limits import JointLimits

from ..motion.retargeting import mirror_rotations

ARM = ("Clavicle", "Upperarm", "Lowerarm", "Hand")
LEG = ("Thigh", "Calf", "Ankle", "Ball")
LIMBS = tuple(tuple(f"{name}{side}" for name in limb) for limb in (ARM, LEG) for side in "LR")


@dataclass(frozen=True, kw_only=True)
class AugmentationConfig:
    """How far captured poses are changed; every pose is mirrored or not by chance."""

    recombined: float = 0.25  # share of poses some of whose limbs come from another pose
    noise: float = 0.05  # radians: what captured skeletons leave out, on every axis
    hand_noise: float = 0.2  # radians: wrists hardly move in the packs
    stirred: float = (
        0.08  # share of poses whose joints are turned far, so that nothing is impossible
    )
    stir: float = 0.4  # radians
    tolerance: float = 0.05  # radians beyond the limits from which a change is taken back


class Augmentation:
    """Changes batches of poses; what leaves a joint's limits farther behind is taken back."""

    def __init__(self, config: AugmentationConfig | None = None) -> None:
        self.config = config or AugmentationConfig()
        self.limits = JointLimits()
        groups = [[JOINT_NAMES.index(name) - 1 for name in limb] for limb in LIMBS]
        self.limb_of = torch.full((len(JOINT_NAMES) - 1,), len(groups))
        for number, group in enumerate(groups):
            self.limb_of[group] = number
        self.noise = torch.full((len(JOINT_NAMES) - 1, 1), self.config.noise)
        for side in "LR":
            self.noise[JOINT_NAMES.index(f"Hand{side}") - 1] = self.config.hand_noise

    def __call__(
        self, pose: Float[Tensor, "batch joints 3 3"], generator: torch.Generator
    ) -> Float[Tensor, "batch joints 3 3"]:
        """Changed copies of poses (without their root)."""
        count = len(pose)

        def chosen(share: float) -> Bool[Tensor, "batch 1"]:
            return torch.rand(count, 1, generator=generator) < share

        pose = _where(chosen(0.5), mirror_pose(pose), pose)
        others = pose[torch.randperm(count, generator=generator)]
        lent = torch.rand(count, len(LIMBS) + 1, generator=generator) < 0.5
        pose = _where(chosen(self.config.recombined) & lent[:, self.limb_of], others, pose)
        stirred = chosen(self.config.stirred)
        spread = torch.where(
            stirred[..., None], self.noise.clamp(min=self.config.stir), self.noise
        )
        turns = torch.randn(count, pose.shape[1], 3, generator=generator) * spread
        return self._within_limits(pose @ rotvec_to_matrix(turns), pose)

    def _within_limits(
        self, pose: Float[Tensor, "batch joints 3 3"], before: Float[Tensor, "batch joints 3 3"]
    ) -> Float[Tensor, "batch joints 3 3"]:
        excess, allowed = (self.limits.excess(p).abs().amax(-1) for p in (pose, before))
        keeps = torch.ones(pose.shape[:2], dtype=torch.bool)
        keeps[:, self.limits.joints] = excess <= allowed + self.config.tolerance
        return _where(keeps, pose, before)


def mirror_pose(pose: Float[Tensor, "*batch joints 3 3"]) -> Float[Tensor, "*batch joints 3 3"]:
    """A pose without its root, seen in a mirror across the body's plane of symmetry."""
    root = torch.eye(3, dtype=pose.dtype).expand(*pose.shape[:-3], 1, 3, 3)
    return mirror_rotations(torch.cat((root, pose), dim=-3))[..., 1:, :, :]


def _where(
    chosen: Bool[Tensor, "#batch #joints"],
    pose: Float[Tensor, "batch joints 3 3"],
    other: Float[Tensor, "batch joints 3 3"],
) -> Float[Tensor, "batch joints 3 3"]:
    return torch.where(chosen[..., None, None], pose, other)

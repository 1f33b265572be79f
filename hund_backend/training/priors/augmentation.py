"""Augmentation of poses: mirroring, swapped limbs, and noise within the joint limits."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...body.rotations import rotvec_to_matrix
from ...body.skeleton import JOINT_NAMES
from ...prior.limits import JointLimits
from ..motion.retargeting import mirror_rotations

ARM = ("Clavicle", "Upperarm", "Lowerarm", "Hand")
LEG = ("Thigh", "Calf", "Ankle", "Ball")
LIMBS = tuple(tuple(f"{name}{side}" for name in limb) for limb in (ARM, LEG) for side in "LR")


@dataclass(frozen=True, kw_only=True)
class AugmentationConfig:
    """Strength of the augmentation; every pose is mirrored with probability 0.5."""

    limb_swap_share: float = 0.25  # of poses some of whose limbs come from another pose
    noise: float = 0.05  # radians on every axis: variation that captured skeletons lack
    hand_noise: float = 0.2  # radians: wrists hardly move in the packs
    large_noise_share: float = 0.08  # of poses with large noise, so that no pose is impossible
    large_noise: float = 0.4  # radians
    tolerance: float = 0.05  # radians beyond the limits from which a change is undone


class Augmentation:
    """Augments batches of poses; changes that move a joint further beyond its limits are undone."""

    def __init__(self, config: AugmentationConfig | None = None) -> None:
        self.config = config or AugmentationConfig()
        self.limits = JointLimits()
        groups = [[JOINT_NAMES.index(name) - 1 for name in limb] for limb in LIMBS]
        self.limb_of_joint = torch.full((len(JOINT_NAMES) - 1,), len(groups))
        for number, group in enumerate(groups):
            self.limb_of_joint[group] = number
        self.noise = torch.full((len(JOINT_NAMES) - 1, 1), self.config.noise)
        for side in "LR":
            self.noise[JOINT_NAMES.index(f"Hand{side}") - 1] = self.config.hand_noise

    def __call__(
        self, pose: Float[Tensor, "batch joints 3 3"], generator: torch.Generator
    ) -> Float[Tensor, "batch joints 3 3"]:
        """Return augmented copies of poses (without their root)."""
        count = len(pose)

        def choose(share: float) -> Bool[Tensor, "batch 1"]:
            return torch.rand(count, 1, generator=generator) < share

        pose = _where(choose(0.5), mirror_pose(pose), pose)
        others = pose[torch.randperm(count, generator=generator)]
        swapped = torch.rand(count, len(LIMBS) + 1, generator=generator) < 0.5
        pose = _where(
            choose(self.config.limb_swap_share) & swapped[:, self.limb_of_joint], others, pose
        )
        has_large_noise = choose(self.config.large_noise_share)
        noise_std = torch.where(
            has_large_noise[..., None], self.noise.clamp(min=self.config.large_noise), self.noise
        )
        change = torch.randn(count, pose.shape[1], 3, generator=generator) * noise_std
        return self._within_limits(pose @ rotvec_to_matrix(change), pose)

    def _within_limits(
        self, pose: Float[Tensor, "batch joints 3 3"], original: Float[Tensor, "batch joints 3 3"]
    ) -> Float[Tensor, "batch joints 3 3"]:
        excess, allowed = (self.limits.excess(p).abs().amax(-1) for p in (pose, original))
        is_kept = torch.ones(pose.shape[:2], dtype=torch.bool)
        is_kept[:, self.limits.joints] = excess <= allowed + self.config.tolerance
        return _where(is_kept, pose, original)


def mirror_pose(pose: Float[Tensor, "*batch joints 3 3"]) -> Float[Tensor, "*batch joints 3 3"]:
    """Mirror a pose without its root across the body's plane of symmetry."""
    root = torch.eye(3, dtype=pose.dtype).expand(*pose.shape[:-3], 1, 3, 3)
    return mirror_rotations(torch.cat((root, pose), dim=-3))[..., 1:, :, :]


def _where(
    chosen: Bool[Tensor, "#batch #joints"],
    pose: Float[Tensor, "batch joints 3 3"],
    other: Float[Tensor, "batch joints 3 3"],
) -> Float[Tensor, "batch joints 3 3"]:
    return torch.where(chosen[..., None, None], pose, other)

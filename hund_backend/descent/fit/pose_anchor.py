"""Anchor: what the learned descent believed, which a polish leaves the less the less is seen.

Gradients alone cannot tell where a hidden leg is and follow the noise of every landmark; the stages
have learned both. So a polish takes their answer as one more observation of every joint's turn.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hund_backend.body.skeleton import JOINT_INDEX, PARENTS
from hund_backend.descent import losses
from hund_backend.descent.joint_confidence import joint_keypoint_weights
from hund_backend.descent.reduced_body import REDUCED_JOINTS


@dataclass(frozen=True, kw_only=True)
class PoseAnchor:
    """Turns that were believed, and how little is seen of each."""

    rotations: Float[Tensor, "frames moved 3 3"]
    unobserved: Float[Tensor, "frames moved"]  # 0…1

    def at(self, frames: Int[Tensor, " chosen"]) -> "Anchor":
        """That of some frames, in their order."""
        return PoseAnchor(rotations=self.rotations[frames], unobserved=self.unobserved[frames])

    def deviation(
        self, rotations: Float[Tensor, "frames moved 3 3"]
    ) -> Float[Tensor, "frames moved 3"]:
        """log(R₀ᵀ R): how far each joint has turned from what was believed, in its own axes, radians."""
        return losses.turn(self.rotations, rotations)

    def precision(self, noise: float, unseen_noise: float) -> Float[Tensor, "frames moved"]:
        """1/σ² of the believed turns, rad⁻²: log σ goes from one noise to the other as doubt grows."""
        return noise**-2 * (noise / unseen_noise) ** (2 * self.unobserved)


def unobserved_fraction(confidence: Float[Tensor, "frames 33"]) -> Float[Tensor, "frames moved"]:
    """How little is seen of what each moved joint turns, 0…1: of its children, or of itself.

    Args:
        confidence: of BlazePose's keypoints, 0…1.
    """
    rows, moved = joint_keypoint_weights(), [JOINT_INDEX[name] for name in REDUCED_JOINTS]
    turned = [[j for j in moved if PARENTS[j] == joint] or [joint] for joint in moved]
    table = torch.stack([rows[joints].mean(0) for joints in turned])
    return 1 - confidence @ table.to(confidence).T

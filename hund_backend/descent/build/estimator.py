"""Estimator of the build: betas of a person from all usable outlines of a track."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from ...body.model import BodyModel
from ...perception.evidence import Evidence
from ..expected_betas import ExpectedBetas
from ..reduced_body import ReducedBody
from ..state import State
from .network import BuildNetwork, Information
from .outline import TORSO, Outlines, outlines_of

MAX_FRAMES = 16  # of a track that are compared, evenly spread
MIN_OVERLAP = 0.5  # of mask and mean body: below it the mask or the pose is wrong
MIN_TORSO_LINES = 4  # breadths of the torso that are found
MIN_CONFIDENCE = 0.3  # mean of the limbs' keypoints
# Share of a frame's errors that is the same in all frames of a track: clothes above all.
LASTING = 0.5


@dataclass(frozen=True, kw_only=True)
class BuildEstimator:
    """Network with the body that its outlines are compared with."""

    network: BuildNetwork
    skin: BodyModel  # "low"
    reduced_body: ReducedBody

    @classmethod
    def load(cls, body: BodyModel) -> "BuildEstimator":
        """Load network and skin.

        Args:
            body: with the keypoints.

        Raises:
            BadInputError: a file is missing or damaged.
        """
        return cls(
            network=BuildNetwork.load(),
            skin=BodyModel.load("low"),
            reduced_body=ReducedBody.from_body(body),
        )

    def estimate(self, evidence: Evidence, state: State) -> ExpectedBetas | None:
        """Return the build of a person; None if no frame shows it.

        Args:
            evidence: of one person over a track.
            state: in these frames.
        """
        frames = np.flatnonzero(evidence.observed & (evidence.masks.max(axis=(1, 2)) > 127))
        if not len(frames):
            return None
        spread = np.linspace(0, len(frames) - 1, min(len(frames), MAX_FRAMES)).round()
        chosen = torch.from_numpy(frames[spread.astype(int)])
        seen = evidence.select(chosen.numpy())
        rotations = torch.cat((state.global_orient[:, None], state.pose), dim=1)
        rotations = rotations[chosen][:, list(self.reduced_body.joint_indices)].cpu()
        outlines = outlines_of(seen, rotations, self.skin, self.reduced_body)
        usable = is_usable(outlines).nonzero()[:, 0]
        if not len(usable):
            return None
        return combine(self.network.information(outlines.select(usable)))


def is_usable(outlines: Outlines) -> Bool[Tensor, " frames"]:
    """Whether outlines are evidence of the build: the mask is the person's, the torso visible."""
    torso = outlines.valid[:, : len(TORSO.shares)].sum(1)
    return (
        (outlines.overlap >= MIN_OVERLAP)
        & (torso >= MIN_TORSO_LINES)
        & (outlines.confidence >= MIN_CONFIDENCE)
    )


def combine(information: Information) -> ExpectedBetas:
    """Combine usable frames of a track: errors of frames average out, those that last do not."""
    count = len(information.precision)
    effective = 1 / (LASTING + (1 - LASTING) / count)
    precision = 1 + effective * information.precision.mean(0)
    betas = effective * information.weighted.mean(0) / precision
    return ExpectedBetas(mean=betas.double(), precision=precision.double().diag())

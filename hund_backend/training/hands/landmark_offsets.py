"""Offsets from our joints to the network's landmarks: `python -m … FOLDER` prints their table.

`FOLDER` has the detections of close-ups (`detections.py`). Where detections are right on the whole,
what they share over all poses and views is no error but another definition of the point. A landmark
is taken to move with the bone before its joint.
"""

import argparse
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from ...body.hand import NUM_POINTS, POINT_NAMES, HandModel, hand_axes
from ...descent.hands.state_decoder import HandDecoder
from ...prior.pose_flow import HAND_WEIGHTS_FILE, PoseFlow
from .detected_samples import detected_sample
from .detections import HandDetections
from .metrics import keypoint_error
from .samples import HandSample

CONFIDENCE, MAX_ERROR = 0.6, 0.12  # of the hands that count; the error in sizes of the hand
ROUNDS = 20  # of the reweighting
SCALE = 0.02  # sizes of the hand: residuals beyond count by their length, not by its square
PRIOR_STD = 0.01  # metres


def landmark_offsets(model: HandModel, sample: HandSample) -> Float[Tensor, "21 3"]:
    """Return offsets to be added to the model's, columns as of `hand_axes`, metres.

    Args:
        model: hand with its present offsets.
        sample: detections and true hands.
    """
    inputs, truth = sample
    good = (keypoint_error(inputs, truth) < MAX_ERROR) & (inputs.confidence.mean(-1) > CONFIDENCE)
    points, width = truth.points[good], inputs.crop_width[good]
    depth = points[..., 2:]
    exact = points[..., :2] / depth
    size = (exact.amax(1) - exact.amin(1)).amax(-1)[:, None, None]
    residual = (inputs.keypoints[good] * width[:, None, None] - exact) / size
    carriers = model.carriers(truth.rotations[good], inputs.rest_points[good])
    axes = carriers @ hand_axes(model.rest)
    # Derivatives of x / z and y / z by the offset.
    jacobian = (axes[..., :2, :] - exact[..., None] * axes[..., 2:, :]) / depth[..., None]
    jacobian = jacobian / size[..., None]
    offsets = torch.zeros(NUM_POINTS, 3)
    prior = (SCALE / PRIOR_STD) ** 2 * torch.eye(3)
    for _ in range(ROUNDS):
        left = residual - (jacobian @ offsets[..., None])[..., 0]
        weights = 1 / (1 + (left.norm(dim=-1) / SCALE) ** 2).sqrt()
        weighted = jacobian * weights[..., None, None]
        matrix = torch.einsum("npki,npkj->pij", weighted, jacobian)
        vector = torch.einsum("npki,npk->pi", weighted, residual)
        offsets = torch.linalg.solve(matrix + prior, vector)
    return offsets


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="of the detections")
    folder = parser.parse_args().folder
    model = HandModel.load()
    decoder = HandDecoder(model, PoseFlow.load(HAND_WEIGHTS_FILE))
    sample = detected_sample(HandDetections.read(folder, "train"), decoder)
    total = landmark_offsets(model, sample) + model.offsets @ hand_axes(model.rest)
    for name, row in zip(POINT_NAMES, (1000 * total).tolist(), strict=True):
        print(f"    ({', '.join(f'{value:.1f}' for value in row)}),  # {name[:-1]}")


if __name__ == "__main__":
    main()

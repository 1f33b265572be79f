"""Measure BlazePose's keypoints on our body: `python -m tools.calibrate_keypoints PACK`.

Needs the networks, and a motion capture pack (`<name>_30fps.npz`) for natural poses. Bodies of
random shape in plain clothes are rendered in those poses from all sides, and BlazePose heavy
detects their keypoints. The offset of each keypoint from the one in the body file is then solved
for; a calibrated body has offsets of zero. Add the printed offsets to OFFSETS_MM in
tools/body_keypoints.py. Takes minutes on two cores.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hund_backend.body.camera import intrinsics_from_focal
from hund_backend.body.model import BodyModel
from hund_backend.body.rotations import rotvec_to_matrix
from hund_backend.body.skeleton import BLAZEPOSE_NAMES, JOINT_INDEX, PART_NAMES
from hund_backend.perception.blazepose import BlazePose
from hund_backend.perception.crops import (
    crop_around_axis,
    crop_around_boxes,
    extract_crops,
    image_from_crop,
    transform_points,
)
from hund_backend.rendering.mesh_overlay import Mesh, draw_meshes
from hund_backend.training.motion.packs import read_pack
from hund_backend.training.motion.retargeting import retarget_pack
from hund_backend.weights_file import WEIGHTS

SIZE, FOCAL, DISTANCE = 640, 900.0, 4.0  # pixels, pixels, metres
BETAS_STD = 0.8
MIN_VISIBILITY = 0.8
ROBUST_SCALE = 0.01  # metres; larger residuals count by their length, not by its square
FLIP = torch.diag(torch.tensor([1.0, -1.0, -1.0]))  # body frame → a camera in front of the person
# The joints that an offset rotates with.
FRAMES = {
    "shoulder": ("Upperarm", "Clavicle"),
    "elbow": ("Lowerarm", "Upperarm"),
    "wrist": ("Hand", "Lowerarm"),
    "hip": ("Thigh", "Pelvis"),
    "knee": ("Calf", "Thigh"),
    "ankle": ("Ankle", "Calf"),
    "heel": ("Ankle",),
    "foot_index": ("Ball",),
    "pinky": ("Hand",),
    "index": ("Hand",),
    "thumb": ("Hand",),
    "ear": ("Head01",),
}


class Observation(NamedTuple):
    """A rendered person and the network's keypoints."""

    orientations: Float[np.ndarray, "63 3 3"]
    keypoints: Float[np.ndarray, "33 3"]  # of the body, camera frame
    pixels: Float[np.ndarray, "33 2"]  # of the network
    visibility: Float[np.ndarray, " 33"]


def upright_poses(pack: Path, body: BodyModel) -> Float[Tensor, "frames 63 3 3"]:
    """Return every 20th frame of a pack in which the trunk is upright."""
    clips = retarget_pack(read_pack(pack), body.rest_template)
    poses = torch.cat([motion.rotations[::20].float() for motion in clips])
    return poses[poses[:, 0, 1, 1] > 0.8]


def observe_from_random_side(
    pose: Float[Tensor, "63 3 3"], body: BodyModel, network: BlazePose, rng: np.random.Generator
) -> Observation:
    """Render a pose with random shape; predict its keypoints twice, as crops settle in a clip."""
    betas = torch.from_numpy(rng.normal(0, BETAS_STD, 16).clip(-2, 2)).float()
    heading = rotvec_to_matrix(torch.tensor([0.0, rng.uniform(0, 2 * np.pi), 0.0]))
    tilt = rotvec_to_matrix(torch.tensor([rng.uniform(-0.25, 0.25), 0.0, 0.0]))
    translation = torch.tensor([0.0, 0.0, DISTANCE])
    global_orient = FLIP @ tilt @ heading @ pose[0]
    posed = body(pose[1:], betas, global_orient=global_orient, root_translation=translation)
    vertices = posed.vertices.numpy()
    intrinsics = intrinsics_from_focal(FOCAL, SIZE, SIZE)
    pixels = vertices / vertices[:, 2:] @ intrinsics[:2].T
    faces = body.faces.numpy()
    mesh = Mesh(vertices=vertices, pixels=pixels, faces=faces, colors=clothes(body, rng))
    blobs = rng.integers(60, 220, (5, 5, 3)).astype(np.uint8)
    background = cv2.resize(blobs, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    image = cv2.GaussianBlur(draw_meshes(background, [mesh], 1.0), (3, 3), 0)
    crop = crop_around_boxes(np.array([[*pixels.min(0), *pixels.max(0)]]))
    for _ in range(2):
        output, matrix = network.predict(extract_crops(image, crop)), image_from_crop(crop, 256)
        found = transform_points(output.keypoints.astype(np.float64), matrix)[0]
        crop = crop_around_axis(found[33][None], found[34][None])
    keypoints = body.keypoints(posed, "blazepose").numpy()
    return Observation(
        posed.orientations.numpy(), keypoints, found[:33], output.visibility[0, :33]
    )


def clothes(body: BodyModel, rng: np.random.Generator) -> Float[np.ndarray, "faces 3"]:
    """Draw colors of the faces: skin, a shirt, trousers, shoes and dark hair."""
    parts = np.array(PART_NAMES)[body.part_of_face.numpy()]
    colors = np.tile(np.array([0.85, 0.62, 0.5]) * rng.uniform(0.5, 1.05), (len(parts), 1))
    shirt, trousers, shoes = rng.uniform(0.05, 0.9, (3, 3))
    long_sleeves, long_legs = rng.random(2) < 0.6
    for word, color in (
        ("torso", shirt),
        ("upper_arm", shirt if long_sleeves else None),
        ("thigh", trousers),
        ("calf", trousers if long_legs else None),
        ("foot", shoes),
    ):
        if color is not None:
            colors[np.char.find(parts, word) >= 0] = color
    centers = body.template.numpy()[body.faces.numpy()].mean(1)
    above = centers - body.rest_template[JOINT_INDEX["Eye01L"]].numpy()
    on_top = (above[:, 1] > 0.055) | ((above[:, 2] < -0.085) & (above[:, 1] > -0.06))
    colors[(parts == "head") & on_top] = (0.2, 0.13, 0.1)
    return colors


def offset(name: str, people: list[Observation]) -> tuple[Float[np.ndarray, " 3"], float, float]:
    """Return a keypoint's offset on the left side at rest, and median gaps without and with it.

    All are in metres. Each observation gives two linear equations, P (p + G S o) = 0, with the rows
    P = (1, 0, −x) and (0, 1, −y) of the ray through the pixel, the orientation G and the mirror S
    of the right side.
    """
    rows, targets = [], []
    for side, letter, mirror in (("left", "L", 1.0), ("right", "R", -1.0)):
        point = BLAZEPOSE_NAMES.index(f"{side}_{name}")
        joints = [
            JOINT_INDEX.get(joint, JOINT_INDEX.get(joint + letter)) for joint in FRAMES[name]
        ]
        for person in people:
            if person.visibility[point] > MIN_VISIBILITY:
                ray = (person.pixels[point] - SIZE / 2) / FOCAL
                across = np.concatenate([np.eye(2), -ray[:, None]], axis=1)
                frame = person.orientations[joints].mean(0) * np.array([mirror, 1.0, 1.0])
                rows.append(across @ frame)
                targets.append(-across @ person.keypoints[point])
    rows, targets = np.array(rows), np.array(targets)
    weights = np.ones((len(rows), 1))
    for _ in range(30):
        solved = np.linalg.lstsq(
            (rows * weights[..., None]).reshape(-1, 3), (targets * weights).ravel(), rcond=None
        )[0]
        gaps = np.linalg.norm(rows @ solved - targets, axis=1)
        weights = np.maximum(gaps, ROBUST_SCALE)[:, None] ** -0.5
    before = np.median(np.linalg.norm(targets, axis=1))
    return solved, float(before), float(np.median(gaps))


def main() -> None:
    """Print the remaining offsets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pack", type=Path, help="motion capture pack, <name>_30fps.npz")
    parser.add_argument("--people", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    body, network = BodyModel.load("full"), BlazePose.open(WEIGHTS / "perception")
    poses = upright_poses(options.pack, body)
    chosen = rng.choice(len(poses), options.people, replace=False)
    people = [observe_from_random_side(poses[i], body, network, rng) for i in chosen]
    for name in FRAMES:
        solved, before, after = offset(name, people)
        gaps = f"gap {1e3 * before:.1f} mm, {1e3 * after:.1f} mm with it"
        print(f"{name:10s} offset {np.round(1e3 * solved).astype(int)} mm, {gaps}")


if __name__ == "__main__":
    main()

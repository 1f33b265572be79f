"""Measures where BlazePose puts its points on our body: `python -m tools.calibrate_keypoints PACK`.

Needs the networks, and a motion capture pack (`<name>_30fps.npz`) for natural poses. Random builds
in flat clothes are painted in those poses from all sides, BlazePose heavy looks at them, and the
offset of each point from where the body file has it is solved for: zero is what a calibrated body
gives. Add what is printed to AWAY_MM in tools/body_keypoints.py. Minutes on two cores.
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
BUILD_SPREAD = 0.8  # of the betas
LEAST_VISIBILITY = 0.8
ROBUST = 0.01  # metres; larger residuals count by their length, not by its square
FLIP = torch.diag(torch.tensor([1.0, -1.0, -1.0]))  # body frame → a camera in front of the person
# The joints whose frames an offset turns with.
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


class Seen(NamedTuple):
    """A painted person and what the network says of it."""

    orientations: Float[np.ndarray, "63 3 3"]
    keypoints: Float[np.ndarray, "33 3"]  # of the body, camera frame
    pixels: Float[np.ndarray, "33 2"]  # where the network sees them
    visibility: Float[np.ndarray, " 33"]


def upright_poses(pack: Path, body: BodyModel) -> Float[Tensor, "frames 63 3 3"]:
    """Every 20th frame of a pack, where the trunk is upright."""
    clips = retarget_pack(read_pack(pack), body.rest_template)
    poses = torch.cat([motion.rotations[::20].float() for motion in clips])
    return poses[poses[:, 0, 1, 1] > 0.8]


def seen_from_a_random_side(
    pose: Float[Tensor, "63 3 3"], body: BodyModel, network: BlazePose, rng: np.random.Generator
) -> Seen:
    """Paint a pose with a random build, look at it twice as a video's crops settle."""
    betas = torch.from_numpy(rng.normal(0, BUILD_SPREAD, 16).clip(-2, 2)).float()
    around = rotvec_to_matrix(torch.tensor([0.0, rng.uniform(0, 2 * np.pi), 0.0]))
    tilt = rotvec_to_matrix(torch.tensor([rng.uniform(-0.25, 0.25), 0.0, 0.0]))
    place = torch.tensor([0.0, 0.0, DISTANCE])
    turn = FLIP @ tilt @ around @ pose[0]
    posed = body(pose[1:], betas, global_orient=turn, root_translation=place)
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
        look, matrix = network.predict(extract_crops(image, crop)), image_from_crop(crop, 256)
        found = transform_points(look.keypoints.astype(np.float64), matrix)[0]
        crop = crop_around_axis(found[33][None], found[34][None])
    keypoints = body.keypoints(posed, "blazepose").numpy()
    return Seen(posed.orientations.numpy(), keypoints, found[:33], look.visibility[0, :33])


def clothes(body: BodyModel, rng: np.random.Generator) -> Float[np.ndarray, "faces 3"]:
    """Colours of the faces: skin, a shirt, trousers, shoes and dark hair."""
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
    centres = body.template.numpy()[body.faces.numpy()].mean(1)
    above = centres - body.rest_template[JOINT_INDEX["Eye01L"]].numpy()
    on_top = (above[:, 1] > 0.055) | ((above[:, 2] < -0.085) & (above[:, 1] > -0.06))
    colors[(parts == "head") & on_top] = (0.2, 0.13, 0.1)
    return colors


def offset(name: str, people: list[Seen]) -> tuple[Float[np.ndarray, " 3"], float, float]:
    """Offset of a point on the left side at rest, metres; median gaps without and with it.

    Each sighting gives two linear equations, P (p + G S o) = 0 with the rows P = (1, 0, −x) and
    (0, 1, −y) of the ray through the pixel, the orientation G and the mirror S of the right side.
    """
    rows, targets = [], []
    for side, letter, mirror in (("left", "L", 1.0), ("right", "R", -1.0)):
        point = BLAZEPOSE_NAMES.index(f"{side}_{name}")
        joints = [
            JOINT_INDEX.get(joint, JOINT_INDEX.get(joint + letter)) for joint in FRAMES[name]
        ]
        for seen in people:
            if seen.visibility[point] > LEAST_VISIBILITY:
                ray = (seen.pixels[point] - SIZE / 2) / FOCAL
                across = np.concatenate([np.eye(2), -ray[:, None]], axis=1)
                frame = seen.orientations[joints].mean(0) * np.array([mirror, 1.0, 1.0])
                rows.append(across @ frame)
                targets.append(-across @ seen.keypoints[point])
    rows, targets = np.array(rows), np.array(targets)
    weights = np.ones((len(rows), 1))
    for _ in range(30):
        solved = np.linalg.lstsq(
            (rows * weights[..., None]).reshape(-1, 3), (targets * weights).ravel(), rcond=None
        )[0]
        gaps = np.linalg.norm(rows @ solved - targets, axis=1)
        weights = np.maximum(gaps, ROBUST)[:, None] ** -0.5
    before = np.median(np.linalg.norm(targets, axis=1))
    return solved, float(before), float(np.median(gaps))


def main() -> None:
    """Print the offsets that are left."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pack", type=Path, help="motion capture pack, <name>_30fps.npz")
    parser.add_argument("--people", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    body, network = BodyModel.load("full"), BlazePose.open(WEIGHTS / "perception")
    poses = upright_poses(options.pack, body)
    chosen = rng.choice(len(poses), options.people, replace=False)
    people = [seen_from_a_random_side(poses[i], body, network, rng) for i in chosen]
    for name in FRAMES:
        solved, before, after = offset(name, people)
        gaps = f"gap {1e3 * before:.1f} mm, {1e3 * after:.1f} mm with it"
        print(f"{name:10s} offset {np.round(1e3 * solved).astype(int)} mm, {gaps}")


if __name__ == "__main__":
    main()

"""The fit with and without body parts, on synthetic pictures whose truth is known.

Run as `python -m benchmarks.alignment --pictures FOLDER`. Keypoints are the true ones with a
detector's errors, or with swapped limbs, or with many outliers, or BlazePose's own; parts are the
labels of the dressed person, those with simulated errors of a network, or the part head's.
"""

import argparse
import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from scipy.ndimage import gaussian_filter

from benchmarks import measuring
from hund_backend.body.camera import project
from hund_backend.body.model import BodyModel
from hund_backend.body.skeleton import BLAZEPOSE_NAMES, JOINT_INDEX, PART_MIRROR, PART_NAMES
from hund_backend.descent.fit.fit import FitConfig, fit
from hund_backend.descent.reduced_body import REDUCED_JOINTS
from hund_backend.descent.state import State
from hund_backend.evaluation.metrics import mpjpe_mm, pa_mpjpe_mm
from hund_backend.perception.blazepose import CROP_SIZE_PX, BlazePose
from hund_backend.perception.confidence import keypoint_confidence
from hund_backend.perception.crops import camera_from_crop, image_from_crop, transform_points
from hund_backend.perception.evidence import Evidence
from hund_backend.perception.packed_part_maps import pack_part_maps
from hund_backend.perception.part_head import SIZE, PartHead
from hund_backend.prior.pose_flow import PoseFlow
from hund_backend.rendering.exact_parts import part_labels
from hund_backend.training.parts.features import coverage
from hund_backend.training.pictures.scene import Picture
from hund_backend.training.pictures.shards import PictureSet
from hund_backend.weights_file import WEIGHTS
from tools.girths import edges_of, girth

PACKAGES = ("torch", "numpy")
KEYPOINTS = ("noisy", "swapped", "outliers", "blazepose")
PARTS = ("none", "mask", "exact", "corrupted", "predicted")
JOINTS = [JOINT_INDEX[name] for name in REDUCED_JOINTS]
HIPS = [BLAZEPOSE_NAMES.index(f"{side}_hip") for side in ("left", "right")]
LIMBS = {
    "leg": ("knee", "ankle", "heel", "foot_index"),
    "arm": ("elbow", "wrist", "pinky", "index", "thumb"),
}
HEAD = """# The fit with and without body parts, on synthetic held-out pictures

{environment}
* `python -m benchmarks.alignment --pictures FOLDER --count {args.count} \
--first {args.first} {changes}`
* {args.count} pictures, each alone; errors of {joints} joints and of the low mesh's vertices in mm,
  root-aligned (MPJPE, PVE) or after Procrustes (PA-); body shape in mm, mean of the absolute
  errors, girths scaled to the true stature; IoU of the person's and of the mean part of the fitted
  body, naked, with the labels of the dressed one

| keypoints | parts | MPJPE | PA-MPJPE | PVE | stature | chest | waist | hip | IoU | part IoU | s |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""


@dataclass(frozen=True, kw_only=True)
class Tools:
    """Models that are used for all pictures."""

    body: BodyModel
    low: BodyModel
    full: BodyModel
    prior: PoseFlow
    blazepose: BlazePose | None = None
    head: PartHead | None = None


def main() -> None:
    """Fit every picture with all kinds of keypoints and parts, and print the table."""
    args = measuring.parse(__doc__, add_arguments)
    measuring.limit_cores(args.cores)
    pictures = PictureSet(args.pictures, args.split)
    tools = Tools(
        body=BodyModel.load("keypoints"),
        low=BodyModel.load("low"),
        full=BodyModel.load("full"),
        prior=PoseFlow.load(),
        blazepose=BlazePose.open(WEIGHTS / "perception"),
        head=PartHead.load() if "predicted" in args.parts else None,
    )
    indices = range(args.first, args.first + args.count)
    rows = []
    for keypoints, parts in itertools.product(args.keypoints, args.parts):
        with measuring.Stopwatch() as watch:
            scores = [
                fit_errors(
                    pictures[index], index, tools, keypoints, parts, fit_config(parts, args.set)
                )
                for index in indices
            ]
        mean = " | ".join(
            f"{value:.3f}" if value < 1 else f"{value:.1f}" for value in np.mean(scores, 0)
        )
        rows.append(f"| {keypoints} | {parts} | {mean} | {watch.cpu_seconds / len(indices):.2f} |")
        print(rows[-1], flush=True)
        if args.each:
            np.save(args.each / f"{keypoints}-{parts}.npy", np.array(scores))
    environment = measuring.environment(PACKAGES, args.cores)
    changes = " ".join(("--set", *args.set)) if args.set else ""
    text = HEAD.format(
        environment=environment, args=args, changes=changes, joints=len(REDUCED_JOINTS)
    )
    text += "\n".join(rows) + "\n"
    if args.save:
        print(measuring.save("alignment", text))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the benchmark's own arguments."""
    parser.add_argument("--pictures", type=Path, required=True, help="folder of the shards")
    parser.add_argument("--split", default="held_out")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--keypoints", nargs="+", choices=KEYPOINTS, default=KEYPOINTS[:3])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS[:4])
    parser.add_argument(
        "--set", nargs="*", default=[], help="NAME=NUMBER of the fit, as energy.parts.noise=0.01"
    )
    parser.add_argument("--each", type=Path, help="folder for the errors of every picture")
    parser.add_argument("--save", action="store_true", help="keep it in benchmarks/results/")


def fit_config(parts: str, changes: list[str]) -> FitConfig:
    """Return the fit's configuration with the changes of the command line."""
    config = FitConfig()
    for change in changes:
        name, value = change.split("=")
        config = replace_nested(config, name.split("."), float(value))
    if parts == "none":
        for name in ("parts", "silhouette"):
            config = replace_nested(config, ["energy", name, "weight"], 0.0)
    return config


def replace_nested(config: Any, path: list[str], value: float) -> Any:  # noqa: ANN401
    """Return a frozen config with one number replaced, in a config within it or in itself."""
    name, *rest = path
    old = getattr(config, name)
    return replace(
        config, **{name: replace_nested(old, rest, value) if rest else type(old)(value)}
    )


def fit_errors(
    picture: Picture, index: int, tools: Tools, keypoints: str, parts: str, config: FitConfig
) -> tuple[float, ...]:
    """Return the errors of a fit to one picture."""
    generator = np.random.default_rng(index)
    evidence = detections(picture, tools, keypoints, generator)
    evidence = with_parts(evidence, picture, tools, parts, generator)
    state = fit(evidence, 30.0, tools.body, tools.prior, config, skin=tools.low).state
    return errors(picture, state, tools)


def errors(picture: Picture, state: State, tools: Tools) -> tuple[float, ...]:
    """Return MPJPE, PA-MPJPE, PVE, body shape errors and IoU of a state."""
    true = State(
        pose=torch.from_numpy(picture.rotations[None, 1:]),
        betas=torch.from_numpy(picture.betas[None]),
        global_orient=torch.from_numpy(picture.rotations[None, 0]),
        root_translation=torch.from_numpy(picture.root_translation[None]),
    )
    found, truth = state.posed(tools.low), true.posed(tools.low)
    joints = [each.joints[:, JOINTS].numpy().astype(float) for each in (found, truth)]
    valid = np.ones(joints[0].shape[:2], bool)
    pve = (found.vertices - found.joints[:, :1]) - (truth.vertices - truth.joints[:, :1])
    return (
        float(mpjpe_mm(1000 * joints[0], 1000 * joints[1], valid, (0,)).mean()),
        float(pa_mpjpe_mm(1000 * joints[0], 1000 * joints[1], valid).mean()),
        1000 * float(pve.norm(dim=-1).mean()),
        *shape_errors(state.betas[0], true.betas[0], tools.full),
        *overlap(picture, found.vertices, tools.low),
    )


def overlap(
    picture: Picture, vertices: Float[torch.Tensor, "1 vertices 3"], low: BodyModel
) -> tuple[float, float]:
    """Return the IoU of the person, and the mean IoU of the parts in the picture."""
    crop = torch.from_numpy(np.linalg.inv(image_from_crop(picture.crop.astype(float))))
    camera = (crop @ torch.from_numpy(picture.intrinsics).double()).float()[None]
    labels = part_labels(low, vertices.float(), camera, picture.labels.shape)[0].numpy()
    person = ((labels > 0) & (picture.labels > 0)).sum() / (
        (labels > 0) | (picture.labels > 0)
    ).sum()
    present = [part for part in range(1, len(PART_NAMES)) if (picture.labels == part).sum() > 30]
    each = [
        ((labels == p) & (picture.labels == p)).sum()
        / ((labels == p) | (picture.labels == p)).sum()
        for p in present
    ]
    return float(person), float(np.mean(each))


def shape_errors(
    found: Float[torch.Tensor, "16"], true: Float[torch.Tensor, "16"], full: BodyModel
) -> tuple[float, ...]:
    """Return errors of stature, and of girths scaled to the true stature; mm.

    A picture does not show the stature itself.
    """
    (stature, *girths), (true_stature, *true_girths) = measures(full, found), measures(full, true)
    scaled = np.array(girths) * true_stature / stature
    return tuple(1000 * np.abs([stature - true_stature, *(scaled - true_girths)]))


def measures(full: BodyModel, betas: Float[torch.Tensor, "16"]) -> Float[np.ndarray, "4"]:
    """Return stature and girths of chest, waist and hip, metres.

    Girths are the convex hulls of horizontal cuts through the torso.
    """
    vertices, joints = (values.numpy().astype(float) for values in full.rest(betas.float()))
    faces = full.faces[full.part_of_face == PART_NAMES.index("torso")].numpy()
    edges = edges_of(faces)
    shoulder, chest, waist, hip = (
        joints[JOINT_INDEX[name], 1] for name in ("UpperarmL", "Spine03", "Spine02", "ThighL")
    )
    levels = (0.55 * chest + 0.45 * shoulder, (chest + waist) / 2, hip)
    return np.array([np.ptp(vertices[:, 1]), *(girth(vertices, edges, y) for y in levels)])


def detections(
    picture: Picture, tools: Tools, keypoints: str, generator: np.random.Generator
) -> Evidence:
    """Return simulated or BlazePose's detections in a picture: keypoints and landmarks."""
    points = picture.keypoints.astype(float)
    intrinsics = torch.from_numpy(picture.intrinsics[None])
    pixels = (
        project(torch.from_numpy(picture.keypoints[None]), intrinsics)[0].numpy().astype(float)
    )
    spread = np.where(picture.visible, 0.007, 0.03)[:, None]
    pixels = pixels + picture.crop[2] * spread * generator.normal(size=pixels.shape)
    confidence = generator.uniform(0.7, 1.0, 33) * np.where(picture.visible, 1.0, 0.3)
    outliers = generator.random((33, 1)) < (0.25 if keypoints == "outliers" else 0.03)
    outlier_noise = picture.crop[2] * 0.15 * generator.normal(size=pixels.shape)
    pixels = np.where(outliers, pixels + outlier_noise, pixels)
    landmarks = points - points[HIPS].mean(axis=0)
    landmarks = landmarks + np.array([0.04, 0.04, 0.08]) * generator.normal(size=points.shape)
    if keypoints == "swapped":
        limb = LIMBS[generator.choice(tuple(LIMBS))]
        order = np.arange(33)
        for name in limb:
            left, right = (BLAZEPOSE_NAMES.index(f"{side}_{name}") for side in ("left", "right"))
            order[[left, right]] = right, left
        pixels, landmarks, confidence = pixels[order], landmarks[order], confidence[order]
    if keypoints == "blazepose":
        output = tools.blazepose.predict(picture.image[None])
        crops = picture.crop[None].astype(float)
        keypoints_in_crop = output.keypoints[:, :33].astype(float)
        pixels = transform_points(keypoints_in_crop, image_from_crop(crops))[0]
        turn = camera_from_crop(crops, picture.intrinsics.astype(float))
        landmarks = output.world_landmarks[0, :33] @ turn[0].T
        quality = output.peaks[:, :33].mean(axis=1)
        confidence = keypoint_confidence(output.peaks, output.visibility, quality)[0, :33]
    return Evidence(
        track_id=0,
        frames=np.arange(1),
        observed=np.ones(1, bool),
        keypoints=np.concatenate((pixels, confidence[:, None]), axis=-1)[None],
        world_landmarks=landmarks[None],
        crops=picture.crop[None].astype(float),
        intrinsics=picture.intrinsics[None].astype(float),
        masks=np.zeros((1, SIZE, SIZE), np.uint8),
    )


def with_parts(
    evidence: Evidence, picture: Picture, tools: Tools, parts: str, generator: np.random.Generator
) -> Evidence:
    """Return the evidence with a kind of parts."""
    if parts == "none":
        return evidence
    probs = coverage(picture.labels)
    if parts == "mask":
        masks = (255 * (1 - probs[:1])).round().astype(np.uint8)
        return replace(evidence, masks=masks)
    if parts == "corrupted":
        probs = corrupted(picture.labels, generator)
    if parts == "predicted":
        images = picture.image[None]
        probs = tools.head.predict(images, tools.blazepose.predict(images, maps=True))[0]
    return replace(evidence, parts=pack_part_maps(probs.astype(np.float32))[None])


def corrupted(
    labels: UInt8[np.ndarray, "256 256"], generator: np.random.Generator
) -> Float[np.ndarray, "parts 64 64"]:
    """Simulate a network's labels: borders off by a cell, limbs on the wrong side or missed."""
    labels = labels.copy()
    for part in range(3, len(PART_NAMES), 2):
        own, other = labels == part, labels == PART_MIRROR[part]
        draw = generator.random()
        if draw < 0.1:  # sides swapped
            labels[own], labels[other] = PART_MIRROR[part], part
        elif draw < 0.2:  # missed
            labels[own] = 0
    step = CROP_SIZE_PX // SIZE
    noise = generator.normal(size=(2, *labels.shape))
    shift = np.stack([gaussian_filter(each, 3 * step) for each in noise])
    shift = shift / shift.std() * step
    y, x = np.mgrid[: labels.shape[0], : labels.shape[1]]
    warped = cv2.remap(
        labels,
        (x + shift[0]).astype(np.float32),
        (y + shift[1]).astype(np.float32),
        cv2.INTER_NEAREST,
    )
    return np.stack([gaussian_filter(channel, 0.7) for channel in coverage(warped)])


if __name__ == "__main__":
    main()

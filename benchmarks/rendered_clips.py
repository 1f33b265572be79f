"""Rendered clips of held-out motion, with what BlazePose sees in them.

Run as `python -m benchmarks.rendered_clips MOCAP_FOLDER SCENERY FOLDER` to render them (a second a
frame). Each clip has a dressed person of its own, who moves before a camera that stands still, among
props and other people; the truth is known, and the detector's errors over time are its own.
"""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from safetensors.numpy import load_file, save

from benchmarks.fit import JOINTS, Scene, segments
from hund_backend.atomic_write import write_file
from hund_backend.body.model import BodyModel
from hund_backend.body.rotations import rotvec_to_matrix
from hund_backend.descent.state import State
from hund_backend.perception.blazepose import CROP_SIZE_PX
from hund_backend.perception.confidence import keypoint_confidence
from hund_backend.perception.crop_detector import LIMB_JOINTS, NUM_KEYPOINTS, downsampled_mask
from hund_backend.perception.crops import (
    BODY_RADIUS_RATIO,
    camera_from_crop,
    crop_around_axis,
    image_from_crop,
    transform_points,
)
from hund_backend.perception.evidence import Evidence
from hund_backend.perception.packed_part_maps import unpack_part_maps
from hund_backend.perception.part_head import BlazePoseWithParts
from hund_backend.training.hund.samples import HIPS, SHOULDERS
from hund_backend.training.motion.motion_set import MotionSet, motion_set
from hund_backend.training.pictures.backgrounds import render_background
from hund_backend.training.pictures.body_template import BodyTemplate
from hund_backend.training.pictures.camera_effects import apply_camera_effects
from hund_backend.training.pictures.dressed_person import DressedPerson, dress_person
from hund_backend.training.pictures.generate import load_assets
from hund_backend.training.pictures.lights import sample_light
from hund_backend.training.pictures.noise import Noise
from hund_backend.training.pictures.scene import (
    PictureAssets,
    sample_distractors,
    sample_occluders,
)
from hund_backend.training.pictures.shading import render_shadow_map, shade
from hund_backend.training.pictures.views import View, sample_view
from hund_backend.weights_file import WEIGHTS

STEP = 2  # frames of the motion set between two of a clip
FPS = 15.0  # of a clip
BATCH = 8


@dataclass(frozen=True, kw_only=True)
class RenderedClip:
    """Pictures of a clip and its truth, camera frame."""

    images: np.ndarray  # frames 256 256 3
    crops: Float[np.ndarray, "frames 4"]
    intrinsics: Float[np.ndarray, "3 3"]
    rotations: Float[np.ndarray, "frames 63 3 3"]
    translation: Float[np.ndarray, "frames 3"]
    betas: Float[np.ndarray, "16"]


def render(assets: PictureAssets, motions: MotionSet, frames: slice, seed: int) -> RenderedClip:
    """Render a segment of motion.

    Args:
        assets: of the split.
        motions: the clips.
        frames: of the motion set.
        seed: of person, clothes, light, camera and scene.
    """

    def rng(number: int) -> np.random.Generator:
        return np.random.default_rng([seed, number])

    person = assets.sampler.sample(rng(0))
    turn = rotvec_to_matrix(torch.tensor([0.0, rng(1).uniform(0, 2 * np.pi), 0.0]))
    rotations = motions.rotations[frames][::STEP].clone()
    path = (motions.translation[frames][::STEP] @ turn.T).numpy()
    rotations[:, 0] = turn @ rotations[:, 0]
    reduced = set(JOINTS)
    rest = [joint for joint in range(rotations.shape[1]) if joint not in reduced]
    rotations[:, rest] = person.rotations[rest]  # fingers as they were drawn
    subjects = [
        _dressed(
            assets,
            replace(person, rotations=r, pelvis_height=float(p[1]), on_floor=False),
            p,
            rng(2),
        )
        for r, p in zip(rotations, path, strict=True)
    ]
    everything = np.concatenate([subject.keypoints for subject in subjects])
    view = sample_view(everything, rng(3))
    middle = len(subjects) // 2
    around = _seen(view, subjects[middle], rng(4))
    things = sample_distractors(assets, subjects[middle], around, rng(5))
    things += sample_occluders(assets, subjects[middle], around, rng(6))
    light = sample_light(assets.scenery, rng(7))
    images, crops = [], []
    for subject in subjects:
        seen = _seen(view, subject, rng(4))
        own = list(subject.surfaces)
        surfaces = own + things
        shadow_map = render_shadow_map(surfaces, subject.joints[0], light)
        shaded = shade(surfaces, len(own), seen, shadow_map, Noise(rng(8), channels=3))
        background = render_background(seen, surfaces, shadow_map, assets.scenery, rng(9))
        picture = shaded.light + background * (1 - shaded.cover)[..., None]
        images.append(
            apply_camera_effects(picture.astype(np.float32), shaded.target, seen, rng(10))
        )
        crops.append(seen.crop)
    world = view.camera_from_world[:3, :3].astype(np.float32)
    turned = rotations.numpy().copy()
    turned[:, 0] = world @ turned[:, 0]
    return RenderedClip(
        images=np.stack(images),
        crops=np.stack(crops),
        intrinsics=view.intrinsics,
        rotations=turned,
        translation=np.stack([view.to_camera(subject.translation) for subject in subjects]),
        betas=person.betas.numpy(),
    )


def _dressed(
    assets: PictureAssets, person: object, position: np.ndarray, rng: np.random.Generator
) -> DressedPerson:
    return dress_person(assets.template, person, position[[0, 2]], rng)


def _seen(view: View, subject: DressedPerson, rng: np.random.Generator) -> View:
    """The view with a crop around the subject, a little off."""
    rays = view.to_camera(subject.keypoints) @ view.intrinsics.T
    points = rays[:, :2] / rays[:, 2:].clip(0.1)
    hip, chest = points[HIPS].mean(0), points[SHOULDERS].mean(0)
    trunk = (chest - hip) / np.linalg.norm(chest - hip).clip(1)
    radius = BODY_RADIUS_RATIO * np.linalg.norm(points - hip, axis=-1).max()
    crop = crop_around_axis(hip, hip + trunk * radius)
    shift = rng.normal(0, 0.02, 2) * crop[2]
    crop = crop * (1, 1, np.exp(rng.normal(0, 0.06)), 1) + np.array(
        [*shift, 0, rng.normal(0, 0.06)]
    )
    return replace(view, crop=crop)


def detected(clip: RenderedClip, network: BlazePoseWithParts) -> dict[str, np.ndarray]:
    """What BlazePose sees in a clip, and the clip's truth, as arrays for a file."""
    frames = len(clip.images)
    batches = [
        network.predict(clip.images[start : start + BATCH]) for start in range(0, frames, BATCH)
    ]
    arrays: dict[str, list[np.ndarray]] = {}
    for output in batches:
        quality = output.peaks[:, LIMB_JOINTS].mean(axis=1)
        confidence = keypoint_confidence(output.peaks, output.visibility, quality)
        found = {
            "in_crop": output.keypoints[:, :NUM_KEYPOINTS].astype(np.float64),
            "confidence": confidence[:, :NUM_KEYPOINTS].astype(np.float64),
            "landmarks": output.world_landmarks[:, :NUM_KEYPOINTS].astype(np.float64),
            "features": output.features.astype(np.float32),
            "parts": output.parts,
            "masks": np.stack([downsampled_mask(mask) for mask in output.masks]),
        }
        for name, values in found.items():
            arrays.setdefault(name, []).append(values)
    joined = {name: np.concatenate(values) for name, values in arrays.items()}
    pixels = transform_points(joined.pop("in_crop"), image_from_crop(clip.crops, CROP_SIZE_PX))
    turn = camera_from_crop(clip.crops, clip.intrinsics)
    landmarks = joined["landmarks"] @ turn.swapaxes(-1, -2)
    return joined | {
        "pixels": pixels,
        "landmarks": landmarks,
        "crops": clip.crops,
        "intrinsics": clip.intrinsics,
        "rotations": clip.rotations,
        "translation": clip.translation.astype(np.float32),
        "betas": clip.betas,
    }


def read_scene(path: Path, body: BodyModel) -> Scene:
    """The truth of a clip and its evidence.

    Args:
        path: of the file.
        body: with the keypoints.
    """
    arrays = load_file(path)
    frames = len(arrays["pixels"])
    rotations = torch.from_numpy(arrays["rotations"]).float()
    state = State(
        pose=rotations[:, 1:],
        betas=torch.from_numpy(arrays["betas"]).float().expand(frames, -1),
        global_orient=rotations[:, 0],
        root_translation=torch.from_numpy(arrays["translation"]),
    )
    joints = state.posed(body).joints[:, JOINTS].numpy().astype(float)
    evidence = Evidence(
        track_id=0,
        frames=np.arange(frames),
        observed=np.ones(frames, dtype=bool),
        keypoints=np.concatenate((arrays["pixels"], arrays["confidence"][..., None]), axis=-1),
        world_landmarks=arrays["landmarks"],
        crops=arrays["crops"],
        intrinsics=np.repeat(arrays["intrinsics"][None], frames, axis=0),
        masks=arrays["masks"] if "masks" in arrays else masks_of_parts(arrays["parts"]),
        features=arrays["features"],
        parts=arrays["parts"],
    )
    return Scene(joints=joints, state=state, evidence=evidence, fps=FPS)


def masks_of_parts(
    parts: UInt8[np.ndarray, "frames 3 64 64"],
) -> UInt8[np.ndarray, "frames 64 64"]:
    """Return the masks that part maps show, for clips that were stored without masks."""
    people = [1 - unpack_part_maps(each)[0] for each in parts]
    return np.rint(255 * np.stack(people)).astype(np.uint8)


def main() -> None:
    """Render the clips that are missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mocap", type=Path, help="folder of <pack>_30fps.npz")
    parser.add_argument("scenery", type=Path, help="folder that fetch_scenery fills")
    parser.add_argument("folder", type=Path, help="where the clips go")
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--frames", type=int, default=80, help="of the motion set")
    parser.add_argument("--seed", type=int, default=0, help="of the first clip")
    args = parser.parse_args()
    torch.set_num_threads(1)
    motions = motion_set(args.mocap)
    assets = load_assets("held_out", motions, args.scenery, BodyTemplate())
    network = BlazePoseWithParts.open(WEIGHTS / "perception")
    for number, frames in enumerate(segments(motions, args.clips, args.frames)):
        path = args.folder / f"clip-{number:03d}.safetensors"
        if path.exists():
            continue
        clip = render(assets, motions, frames, args.seed + number)
        args.folder.mkdir(parents=True, exist_ok=True)
        write_file(
            path, save({k: np.ascontiguousarray(v) for k, v in detected(clip, network).items()})
        )
        sheet = np.concatenate(list(clip.images[:: len(clip.images) // 4]), axis=1)
        write_file(path.with_suffix(".png"), cv2.imencode(".png", sheet[..., ::-1])[1].tobytes())
        print(path.name, len(clip.images), flush=True)


if __name__ == "__main__":
    main()

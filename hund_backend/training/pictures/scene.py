"""Scenes: a person among props and other people, and the picture of it with its truth."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8

from ...body.skeleton import BLAZEPOSE_NAMES
from ...perception.blazepose import CROP_SIZE_PX
from .backgrounds import render_background
from .body_template import BodyTemplate
from .camera_effects import apply_camera_effects, clamp_to_frame
from .dressed_person import DressedPerson, dress_person
from .lights import sample_light
from .noise import Noise
from .person_sampler import PersonSampler
from .props import sample_prop
from .scenery import Scenery
from .shading import Shaded, render_shadow_map, shade
from .surfaces import Surface
from .views import View, sample_view

# Metres by which a visible keypoint may lie behind the visible surface of its person.
VISIBILITY_TOLERANCE = 0.13
# Share of the picture that the person covers at least; else occluders are removed.
MIN_COVER = 0.02
_WRISTS = [BLAZEPOSE_NAMES.index(f"{side}_index") for side in ("left", "right")]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """Crop with its truth; camera frame, metres, and pixels of the crop or of the frame."""

    image: UInt8[np.ndarray, "256 256 3"]  # RGB
    labels: UInt8[np.ndarray, "256 256"]  # visible parts of the person: indices into PART_NAMES
    depth: Float[np.ndarray, "256 256"]  # of the dressed person; infinite elsewhere
    rotations: Float[np.ndarray, "63 3 3"]  # parent-relative; the pelvis: body → camera
    root_translation: Float[np.ndarray, "3"]
    betas: Float[np.ndarray, "16"]
    expression: Float[np.ndarray, "20"]
    joints: Float[np.ndarray, "63 3"]
    keypoints: Float[np.ndarray, "33 3"]  # BlazePose's
    visible: Bool[np.ndarray, "33"]  # inside the picture and not occluded
    intrinsics: Float[np.ndarray, "3 3"]  # of the frame
    frame_size: Float[np.ndarray, "2"]  # width, height
    crop: Float[np.ndarray, "4"]  # in the frame, see hund_backend/perception/crops.py
    motion_frame: int  # of the motion set


@dataclass(frozen=True, kw_only=True)
class PictureAssets:
    """Everything that pictures of a split are rendered from."""

    template: BodyTemplate
    sampler: PersonSampler
    scenery: Scenery


def sample_picture(assets: PictureAssets, rng: np.random.Generator) -> Picture:
    """Render a random picture; it depends on the state of `rng` alone."""
    person = assets.sampler.sample(rng)
    subject = dress_person(assets.template, person, np.zeros(2), rng)
    view = sample_view(subject.keypoints, rng)
    own = list(subject.surfaces)
    surfaces = (
        own
        + sample_distractors(assets, subject, view, rng)
        + sample_occluders(assets, subject, view, rng)
    )
    light = sample_light(assets.scenery, rng)
    noise = Noise(rng, channels=3)
    shadow_map = render_shadow_map(surfaces, subject.joints[0], light)
    shaded = shade(surfaces, len(own), view, shadow_map, noise)
    if shaded.target.mean() < MIN_COVER and len(surfaces) > len(own):
        surfaces = own
        shadow_map = render_shadow_map(surfaces, subject.joints[0], light)
        shaded = shade(surfaces, len(own), view, shadow_map, noise)
    background = render_background(view, surfaces, shadow_map, assets.scenery, rng)
    picture = shaded.light + background * (1 - shaded.cover)[..., None]
    image = apply_camera_effects(picture.astype(np.float32), shaded.target, view, rng)
    return _make_picture(subject, view, shaded, image, person.frame)


def _make_picture(
    subject: DressedPerson, view: View, shaded: Shaded, image: np.ndarray, motion_frame: int
) -> Picture:
    """The picture with its truth in the camera frame."""
    _, in_frame = clamp_to_frame(view.crop, view.frame_size, CROP_SIZE_PX)
    labels = np.where(in_frame, shaded.labels, 0).astype(np.uint8)
    depth = np.where(in_frame & shaded.target, shaded.depth, np.inf).astype(np.float32)
    keypoints = view.to_camera(subject.keypoints)
    rotations = subject.rotations.copy()
    rotations[0] = view.camera_from_world[:3, :3] @ rotations[0]
    return Picture(
        image=image,
        labels=labels,
        depth=depth,
        rotations=rotations,
        root_translation=view.to_camera(subject.translation).astype(np.float32),
        betas=subject.betas,
        expression=subject.expression,
        joints=view.to_camera(subject.joints).astype(np.float32),
        keypoints=keypoints.astype(np.float32),
        visible=_visible(keypoints, view.crop_intrinsics(CROP_SIZE_PX), depth),
        intrinsics=view.intrinsics.astype(np.float32),
        frame_size=np.array(view.frame_size, np.float32),
        crop=view.crop.astype(np.float32),
        motion_frame=motion_frame,
    )


def _visible(
    keypoints: Float[np.ndarray, "33 3"],
    intrinsics: Float[np.ndarray, "3 3"],
    depth: Float[np.ndarray, "height width"],
) -> Bool[np.ndarray, "33"]:
    """Whether the person's own surface is visible at the keypoints, just in front of them."""
    rays = keypoints @ intrinsics.T
    position = np.floor(rays[:, :2] / rays[:, 2:].clip(1e-3)).astype(int)
    size = len(depth)
    within = ((position >= 0) & (position < size)).all(-1) & (keypoints[:, 2] > 0)
    column, row = (position * within[:, None]).T
    return within & (np.abs(depth[row, column] - keypoints[:, 2]) < VISIBILITY_TOLERANCE)


def sample_distractors(
    assets: PictureAssets, subject: DressedPerson, view: View, rng: np.random.Generator
) -> list[Surface]:
    """Other people and props, mostly behind the person, and props in the hands."""
    surfaces = []
    forward = view.camera_from_world[2, [0, 2]]
    forward = forward / np.linalg.norm(forward).clip(1e-3)
    sideways = np.array([-forward[1], forward[0]])
    if rng.random() < 0.22:
        nearer = rng.random() < 0.2
        position = forward * (rng.uniform(-1.0, -0.4) if nearer else rng.uniform(0.1, 4))
        position = position + sideways * rng.choice((-1, 1)) * rng.uniform(0.35, 1.6)
        other = assets.sampler.sample(rng)
        surfaces += dress_person(assets.template, other, position, rng).surfaces
    if rng.random() < 0.6:
        for _ in range(rng.integers(1, 8)):
            size = np.exp(rng.uniform(np.log(0.1), np.log(1.5)))
            position = forward * (size + rng.uniform(0.2, 5)) + sideways * rng.normal(0, 1.2)
            height = size * 0.4 if rng.random() < 0.6 else rng.uniform(0, 2.5)
            center = np.array([position[0], height, position[1]])
            surfaces.append(sample_prop(center, size, assets.scenery, rng))
    if rng.random() < 0.12:
        center = subject.keypoints[rng.choice(_WRISTS)] + rng.normal(0, 0.03, 3)
        size = rng.uniform(0.06, 0.3)
        surfaces.append(sample_prop(center, size, assets.scenery, rng))
    return [surface for surface in surfaces if _is_in_front(surface, view)]


def sample_occluders(
    assets: PictureAssets, subject: DressedPerson, view: View, rng: np.random.Generator
) -> list[Surface]:
    """Props between the camera and a point of the person."""
    if rng.random() > 0.35:
        return []
    surfaces = []
    for _ in range(rng.integers(1, 4)):
        hidden = subject.keypoints[rng.integers(len(subject.keypoints))] + rng.normal(0, 0.1, 3)
        share = rng.uniform(0.45, 0.9)
        center = view.position + share * (hidden - view.position)
        size = share * np.exp(rng.uniform(np.log(0.08), np.log(0.6)))
        surfaces.append(sample_prop(center, size, assets.scenery, rng))
    return [surface for surface in surfaces if _is_in_front(surface, view)]


def _is_in_front(surface: Surface, view: View) -> bool:
    """Return whether all of a surface is at least 30 cm in front of the camera."""
    return bool(view.to_camera(surface.vertices)[:, 2].min() > 0.3)

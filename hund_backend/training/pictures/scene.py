"""Scenes: a person among things and other people, and the picture of it with all that is true."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8

from hund_backend.body.skeleton import BLAZEPOSE_NAMES
from hund_backend.perception.blazepose import CROP_SIZE_PX

from .backgrounds import background
from .body_template import Mannequin
from .camera_effects import develop, inside_frame
from .dressed_person import Figure, figure
from .lights import draw_light
from .noise import Noise
from .person_sampler import Casting
from .props import draw_thing
from .scenery import Scenery
from .shading import Shaded, shade, shadow_of
from .surfaces import Surface
from .views import View, draw_view

UNDER_SKIN = (
    0.13  # metres that a keypoint may lie behind what is seen of the body, and count as seen
)
LEAST_SHOWN = 0.02  # of a picture that its person must cover, else what hides him is taken away
_WRISTS = [BLAZEPOSE_NAMES.index(f"{side}_index") for side in ("left", "right")]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A crop with its truth; camera frame, metres, and pixels of the crop or of the frame."""

    image: UInt8[np.ndarray, "256 256 3"]  # RGB
    labels: UInt8[np.ndarray, "256 256"]  # what is seen of the person: indices into PART_NAMES
    depth: Float[np.ndarray, "256 256"]  # of the person as dressed; infinite elsewhere
    rotations: Float[np.ndarray, "63 3 3"]  # parent-relative; the pelvis: body → camera
    root_translation: Float[np.ndarray, "3"]
    betas: Float[np.ndarray, "16"]
    expression: Float[np.ndarray, "20"]
    joints: Float[np.ndarray, "63 3"]
    keypoints: Float[np.ndarray, "33 3"]  # BlazePose's
    visible: Bool[np.ndarray, "33"]  # in the picture and not hidden
    intrinsics: Float[np.ndarray, "3 3"]  # of the frame
    frame_size: Float[np.ndarray, "2"]  # width, height
    crop: Float[np.ndarray, "4"]  # in the frame, see hund_backend/perception/crops.py
    motion_frame: int  # of the motion set


@dataclass(frozen=True, kw_only=True)
class Studio:
    """All that pictures of a split are made of."""

    mannequin: Mannequin
    casting: Casting
    scenery: Scenery


def draw_picture(studio: Studio, rng: np.random.Generator) -> Picture:
    """A random picture; the same chance gives the same picture."""
    person = studio.casting.person(rng)
    subject = figure(studio.mannequin, person, np.zeros(2), rng)
    view = draw_view(subject.keypoints, rng)
    own = list(subject.surfaces)
    surfaces = own + _others(studio, subject, view, rng) + _hiding(studio, subject, view, rng)
    light = draw_light(studio.scenery, rng)
    noise = Noise(rng, channels=3)
    shadow = shadow_of(surfaces, subject.joints[0], light)
    seen = shade(surfaces, len(own), view, shadow, noise)
    if seen.target.mean() < LEAST_SHOWN and len(surfaces) > len(own):
        surfaces = own
        shadow = shadow_of(surfaces, subject.joints[0], light)
        seen = shade(surfaces, len(own), view, shadow, noise)
    behind = background(view, surfaces, shadow, studio.scenery, rng)
    picture = seen.light + behind * (1 - seen.cover)[..., None]
    image = develop(picture.astype(np.float32), seen.target, view, rng)
    return _true(subject, view, seen, image, person.frame)


def _true(
    subject: Figure, view: View, seen: Shaded, image: np.ndarray, motion_frame: int
) -> Picture:
    """The picture with its truth, in the camera frame."""
    _, inside = inside_frame(view.crop, view.frame_size, CROP_SIZE_PX)
    labels = np.where(inside, seen.labels, 0).astype(np.uint8)
    depth = np.where(inside & seen.target, seen.depth, np.inf).astype(np.float32)
    keypoints = view.in_camera(subject.keypoints)
    rotations = subject.rotations.copy()
    rotations[0] = view.camera_from_world[:3, :3] @ rotations[0]
    return Picture(
        image=image,
        labels=labels,
        depth=depth,
        rotations=rotations,
        root_translation=view.in_camera(subject.translation).astype(np.float32),
        betas=subject.betas,
        expression=subject.expression,
        joints=view.in_camera(subject.joints).astype(np.float32),
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
    """Whether the person's own surface is seen where the keypoints are, and just before them."""
    rays = keypoints @ intrinsics.T
    place = np.floor(rays[:, :2] / rays[:, 2:].clip(1e-3)).astype(int)
    size = len(depth)
    within = ((place >= 0) & (place < size)).all(-1) & (keypoints[:, 2] > 0)
    column, row = (place * within[:, None]).T
    return within & (np.abs(depth[row, column] - keypoints[:, 2]) < UNDER_SKIN)


def _others(
    studio: Studio, subject: Figure, view: View, rng: np.random.Generator
) -> list[Surface]:
    """Other people and things, mostly behind; things in the hands."""
    surfaces = []
    forward = view.camera_from_world[2, [0, 2]]
    forward = forward / np.linalg.norm(forward).clip(1e-3)
    aside = np.array([-forward[1], forward[0]])
    if rng.random() < 0.22:
        nearer = rng.random() < 0.2
        place = forward * (rng.uniform(-1.0, -0.4) if nearer else rng.uniform(0.1, 4))
        place = place + aside * rng.choice((-1, 1)) * rng.uniform(0.35, 1.6)
        other = studio.casting.person(rng)
        surfaces += figure(studio.mannequin, other, place, rng).surfaces
    if rng.random() < 0.6:
        for _ in range(rng.integers(1, 8)):
            size = np.exp(rng.uniform(np.log(0.1), np.log(1.5)))
            place = forward * (size + rng.uniform(0.2, 5)) + aside * rng.normal(0, 1.2)
            height = size * 0.4 if rng.random() < 0.6 else rng.uniform(0, 2.5)
            at = np.array([place[0], height, place[1]])
            surfaces.append(draw_thing(at, size, studio.scenery, rng))
    if rng.random() < 0.12:
        at = subject.keypoints[rng.choice(_WRISTS)] + rng.normal(0, 0.03, 3)
        size = rng.uniform(0.06, 0.3)
        surfaces.append(draw_thing(at, size, studio.scenery, rng))
    return [surface for surface in surfaces if _before_camera(surface, view)]


def _hiding(
    studio: Studio, subject: Figure, view: View, rng: np.random.Generator
) -> list[Surface]:
    """Things between the camera and a point of the person."""
    if rng.random() > 0.35:
        return []
    surfaces = []
    for _ in range(rng.integers(1, 4)):
        hidden = subject.keypoints[rng.integers(len(subject.keypoints))] + rng.normal(0, 0.1, 3)
        share = rng.uniform(0.45, 0.9)
        at = view.position + share * (hidden - view.position)
        size = share * np.exp(rng.uniform(np.log(0.08), np.log(0.6)))
        surfaces.append(draw_thing(at, size, studio.scenery, rng))
    return [surface for surface in surfaces if _before_camera(surface, view)]


def _before_camera(surface: Surface, view: View) -> bool:
    """Whether all of it is at least 30 cm before the camera."""
    return bool(view.in_camera(surface.vertices)[:, 2].min() > 0.3)

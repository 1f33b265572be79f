"""Close-ups: pictures of one hand of a person, with the truth, for the errors of the hand network.

People, clothes, lights and backgrounds are those of the pictures of people; fingers come from the
hand's own poses, wrists bend, and the camera looks at one hand.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, UInt8

from ...body.kinematics import forward_kinematics
from ...body.rotations import rotvec_to_matrix
from ...body.skeleton import (
    JOINT_INDEX,
    LEFT_HAND_JOINTS,
    PARENTS,
    PART_NAMES,
    RIGHT_HAND_JOINTS,
)
from ...perception.blazepose import CROP_SIZE_PX
from ...perception.hands.crops import HAND_LENGTH
from ...perception.hands.evidence import SIDES
from ...prior.limits import JointLimits
from ...rendering.zbuffer import visible_surface
from ..motion.retargeting import mirror_rotations
from ..pictures.backgrounds import render_background
from ..pictures.camera_effects import apply_camera_effects
from ..pictures.dressed_person import DressedPerson, dress_person
from ..pictures.lights import sample_light
from ..pictures.noise import Noise
from ..pictures.person_sampler import Person
from ..pictures.props import sample_prop
from ..pictures.scene import PictureAssets
from ..pictures.shading import render_shadow_map, shade
from ..pictures.surfaces import Surface
from ..pictures.views import FRAMES, View
from ..priors.density import PoseSampler

SCALE = 0.15  # of the scene, over that of a picture of a whole person
LOOK_PX = 64  # side of the picture in which a view is tried
MIN_SEEN = 0.45  # share of the points of a hand that a view shows at least
TRIES = 6  # views
_HAND_JOINTS = (LEFT_HAND_JOINTS, RIGHT_HAND_JOINTS)
_HAND_PARTS = tuple(PART_NAMES.index(f"{side}_hand") for side in SIDES)


@dataclass(frozen=True, kw_only=True)
class CloseUpConfig:
    """Distribution of views and wrists."""

    length_px: tuple[float, float] = (24.0, 260.0)  # of an open hand in the frame
    depth: tuple[float, float] = (0.3, 6.0)  # metres
    side: tuple[float, float] = (1.7, 3.0)  # of the picture, in lengths of a hand
    off_center: float = 0.12  # of the hand, in sides of the picture
    elevation_deg: float = 28.0  # of the camera over the hand, standard deviation
    roll_deg: float = 8.0
    bend_deg: float = 28.0  # of the wrist
    held_share: float = 0.12  # of hands that hold something or have something before them


@dataclass(frozen=True, kw_only=True)
class CloseUp:
    """Picture of a hand with its truth; the picture is the frame, metres in its camera."""

    image: UInt8[np.ndarray, "256 256 3"]  # RGB
    side: int  # 0 left, 1 right
    intrinsics: Float[np.ndarray, "3 3"]
    orientation: Float[np.ndarray, "3 3"]  # of the hand joint: body frame → camera
    wrist: Float[np.ndarray, "3"]
    fingers: Float[np.ndarray, "15 3 3"]  # in their parents' frames, of this side
    betas: Float[np.ndarray, "16"]
    keypoints: Float[np.ndarray, "33 3"]  # the body's, BlazePose's
    length_px: float  # of the hand, open, in the frame that was filmed


def sample_close_up(
    assets: PictureAssets,
    poses: PoseSampler,
    rng: np.random.Generator,
    config: CloseUpConfig | None = None,
) -> CloseUp:
    """Render a random hand; the picture depends on the state of `rng` alone."""
    config = config or CloseUpConfig()
    side = int(rng.integers(2))
    person = _with_hands(assets.sampler.sample(rng), poses, rng, config)
    subject = dress_person(assets.template, person, np.zeros(2), rng)
    wrist = JOINT_INDEX[f"Hand{'LR'[side]}"]
    knuckle = JOINT_INDEX[f"Middle02{'LR'[side]}"]
    middle = (subject.joints[wrist] + subject.joints[knuckle]) / 2
    surfaces = list(subject.surfaces)
    view = _best_view(subject, surfaces, middle, side, rng, config)
    if rng.random() < config.held_share:
        center = middle + rng.normal(0, 0.03, 3)
        prop = sample_prop(center, rng.uniform(0.03, 0.12), assets.scenery, rng)
        surfaces.append(prop)
    light = sample_light(assets.scenery, rng)
    shadow_map = render_shadow_map(surfaces, middle, light, SCALE)
    noise = Noise(rng, channels=3)
    shaded = shade(surfaces, len(subject.surfaces), view, shadow_map, noise)
    background = render_background(view, surfaces, shadow_map, assets.scenery, rng)
    picture = shaded.light + background * (1 - shaded.cover)[..., None]
    image = apply_camera_effects(picture.astype(np.float32), shaded.target, view, rng)
    rotations = torch.from_numpy(subject.rotations)[None]
    orientations, _ = forward_kinematics(rotations, torch.zeros(1, len(PARENTS), 3), PARENTS)
    rotation = view.camera_from_world[:3, :3]
    return CloseUp(
        image=image,
        side=side,
        intrinsics=view.crop_intrinsics(CROP_SIZE_PX),
        orientation=rotation @ orientations[0, wrist].numpy(),
        wrist=view.to_camera(subject.joints[wrist]),
        fingers=subject.rotations[list(_HAND_JOINTS[side])],
        betas=subject.betas,
        keypoints=view.to_camera(subject.keypoints),
        length_px=float(view.intrinsics[0, 0] * HAND_LENGTH / view.to_camera(middle)[2]),
    )


def _with_hands(
    person: Person, poses: PoseSampler, rng: np.random.Generator, config: CloseUpConfig
) -> Person:
    """The person with other fingers and bent wrists."""
    rotations = person.rotations.clone()
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    left, right = (torch.cat((torch.eye(3)[None], pose)) for pose in poses.draw(2, generator))
    rotations[list(LEFT_HAND_JOINTS)] = left[list(LEFT_HAND_JOINTS)]
    rotations[list(RIGHT_HAND_JOINTS)] = mirror_rotations(right)[list(RIGHT_HAND_JOINTS)]
    limits = JointLimits()
    wrists = [JOINT_INDEX[f"Hand{letter}"] for letter in "LR"]
    rows = [limits.joints.index(wrist - 1) for wrist in wrists]
    bend = torch.from_numpy(rng.normal(0, math.radians(config.bend_deg), (2, 2))).float()
    bend = bend * torch.tensor([1.0, 0.5])  # flexion and abduction
    bend = bend.clamp(limits.lower[rows, :2], limits.upper[rows, :2])
    vectors = (limits.frames[rows, :, :2] @ bend[..., None])[..., 0]
    rotations[wrists] = rotvec_to_matrix(vectors)
    return replace(person, rotations=rotations)


def _best_view(
    subject: DressedPerson,
    surfaces: list[Surface],
    middle: Float[np.ndarray, "3"],
    side: int,
    rng: np.random.Generator,
    config: CloseUpConfig,
) -> View:
    """The first of some random views that shows enough of the hand, or the best one."""
    joints = subject.joints[[JOINT_INDEX[f"Hand{'LR'[side]}"], *_HAND_JOINTS[side]]]
    best, most = None, -1.0
    for _ in range(TRIES):
        view = _sample_view(middle, rng, config)
        seen = _share_seen(view, surfaces, joints, side)
        if seen > most:
            best, most = view, seen
        if most > MIN_SEEN:
            break
    return best


def _share_seen(
    view: View, surfaces: list[Surface], joints: Float[np.ndarray, "joints 3"], side: int
) -> float:
    """Share of the joints at whose pixels the picture shows that hand."""
    first = np.cumsum([0, *(len(surface.vertices) for surface in surfaces)])
    faces = np.concatenate([s.faces + f for s, f in zip(surfaces, first, strict=False)])
    vertices = np.concatenate([surface.vertices for surface in surfaces])
    intrinsics = view.crop_intrinsics(LOOK_PX)
    visible = visible_surface(
        torch.from_numpy(view.to_camera(vertices)).float(),
        torch.from_numpy(faces),
        torch.from_numpy(intrinsics).float(),
        (LOOK_PX, LOOK_PX),
    )
    parts = np.append(np.concatenate([surface.parts for surface in surfaces]), 0)
    labels = parts[visible.face.numpy()]
    rays = view.to_camera(joints) @ intrinsics.T
    pixels = np.floor(rays[:, :2] / rays[:, 2:].clip(1e-3)).astype(int)
    within = ((pixels >= 0) & (pixels < LOOK_PX)).all(-1)
    column, row = pixels.clip(0, LOOK_PX - 1).T
    return float((within & (labels[row, column] == _HAND_PARTS[side])).mean())


def _sample_view(
    middle: Float[np.ndarray, "3"], rng: np.random.Generator, config: CloseUpConfig
) -> View:
    """Random view from around the hand."""
    width, height = FRAMES[rng.integers(len(FRAMES))]
    focal = max(width, height) / 2 / np.tan(np.deg2rad(rng.uniform(28, 90)) / 2)
    length = np.exp(rng.uniform(*np.log(config.length_px)))
    depth = float(np.clip(focal * HAND_LENGTH / length, *config.depth))
    side = rng.uniform(*config.side) * focal * HAND_LENGTH / depth
    # Somewhere in the frame, as hands near its border are seen at an angle.
    target = np.array([width, height]) * rng.uniform(0.1, 0.9, 2)
    intrinsics = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])
    around, elevation = rng.uniform(0, 2 * np.pi), np.deg2rad(rng.normal(0, config.elevation_deg))
    roll = np.deg2rad(rng.normal(0, config.roll_deg))
    backward = np.array(
        [np.cos(elevation) * np.sin(around), np.sin(elevation), np.cos(elevation) * np.cos(around)]
    )
    right = np.array([np.cos(around), 0, -np.sin(around)])
    upright = np.stack((right, np.cross(right, backward), -backward))  # x right, y down, z ahead
    cosine, sine = np.cos(roll), np.sin(roll)
    rotation = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]]) @ upright
    toward = np.linalg.inv(intrinsics) @ (*target, 1)
    transform = np.eye(4)
    transform[:3, :3] = rotation
    transform[:3, 3] = toward * depth - rotation @ middle
    shift = rng.normal(0, config.off_center, 2) * side
    return View(
        camera_from_world=transform,
        intrinsics=intrinsics,
        frame_size=(width, height),
        crop=np.array([*(target + shift), side, 0.0]),
    )

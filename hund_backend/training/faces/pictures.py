"""Close-ups of the body's own head with known ARKit coefficients, identity and turn.

The head is shaded by two lights over a plain background; eyes, lips, lashes, the inside of the
mouth, brows, hair and beards are painted by what the face keys move and by place, since the mesh
has no textures. Heads differ by the body's shape and by smooth, symmetric random fields.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.spatial.transform import Rotation

from ...body.file import BodyFile
from ...body.skeleton import JOINT_INDEX
from ...rendering.mesh_overlay import visible_faces

SIZE_PX = 256  # of a picture
_OVERSAMPLING = 1
_NECK_TOP = -0.16  # metres below the eyes, where the head ends
_IRIS, _PUPIL = np.radians((24.0, 11.0))  # radii seen from the center of the eye
_KEYS_AT_ONCE = 6  # mean number of active keys
_FIELD_STD, _FIELD_LENGTH = 0.0025, 0.035  # metres, of the random fields between heads
_FIELD_WAVES = 24
_HAIR, _BEARD, _GLASSES = 0.7, 0.15, 0.15  # shares of the people
_SMALL, _SMALLEST_PX = 0.5, 50  # share of pictures that were smaller, and how small


@dataclass(frozen=True, kw_only=True)
class FacePerson:
    """Head and looks of a person."""

    rest: Float[np.ndarray, "vertices 3"]  # of the head, metres
    colors: Float[np.ndarray, "vertices 3"]
    iris: Float[np.ndarray, "3"]
    glasses: float  # width of the rims in metres; 0: none


@dataclass(frozen=True, kw_only=True)
class FaceSample:
    """What a picture shows."""

    arkit: Float[np.ndarray, "52"]
    turn: Float[np.ndarray, "3 3"]  # rotation from the body's axes to the camera's


@dataclass(frozen=True, kw_only=True)
class FacePicture:
    """A picture and where the head's vertices are in it."""

    image: UInt8[np.ndarray, "256 256 3"]
    pixels: Float[np.ndarray, "vertices 2"]  # of all vertices of the head
    sample: FaceSample


class FacePainter:
    """Renders close-ups of the head of a body."""

    def __init__(self, body: BodyFile) -> None:
        self.body = body
        eyes = body.joints[[JOINT_INDEX["Eye01L"], JOINT_INDEX["Eye01R"]]]
        self.center = eyes.mean(axis=0)
        is_head = (body.template[:, 1] > self.center[1] + _NECK_TOP) & (
            np.abs(body.template[:, 0]) < 0.14
        )
        self.vertices = np.flatnonzero(is_head)
        index = np.full(len(body.template), -1)
        index[self.vertices] = np.arange(len(self.vertices))
        quads = index[body.quads[is_head[body.quads].all(axis=1)]]
        self.faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
        moved = index[body.face_vertices]
        self.basis = np.zeros((len(body.arkit_basis), len(self.vertices), 3), np.float32)
        self.basis[:, moved[moved >= 0]] = body.arkit_basis[:, moved >= 0]
        self._paint()

    def _key(self, *names: str) -> Float[np.ndarray, " vertices"]:
        """Return how far keys move each vertex, as a share of what they move most."""
        rows = [self.body.arkit_names.index(name) for name in names]
        lengths = np.linalg.norm(self.basis[rows], axis=-1)
        return (lengths / lengths.max(axis=1, keepdims=True)).max(axis=0)

    def _paint(self) -> None:
        """Choose the vertices of lips, brows and eyes."""
        body, rest = self.body, self.body.template[self.vertices]
        self.eyes = {}
        for side in "LR":
            joint = JOINT_INDEX[f"Eye01{side}"]
            self.eyes[side] = np.flatnonzero(body.skinning_weights[self.vertices, joint] > 0.5)
        self.eye_centers = {s: rest[v].mean(axis=0) for s, v in self.eyes.items()}
        self.eye_directions = np.zeros_like(rest)
        for side, eye in self.eyes.items():
            outward = rest[eye] - self.eye_centers[side]
            self.eye_directions[eye] = outward / np.linalg.norm(outward, axis=1, keepdims=True)
        height = rest[:, 1] - self.center[1]
        forward = rest[:, 2] - self.center[2]
        brows = np.zeros(len(rest))
        for side, eye in self.eye_centers.items():
            across = (rest[:, 0] - eye[0]) * (1 if side == "L" else -1)
            line = 0.021 - 5.0 * (across - 0.008) ** 2
            near = np.abs(height - line) < 0.0045
            brows = np.maximum(brows, near & (across > -0.016) & (across < 0.024) & (forward > 0))
        self.brows = brows
        lips = self._key("mouthRollLower", "mouthRollUpper")
        self.lips = np.clip((lips - 0.6) / 0.15, 0, 1)
        self.lips[(np.abs(rest[:, 0]) > 0.03) | (height < -0.081)] = 0
        self.lashes = np.clip((self._key("eyeBlinkLeft", "eyeBlinkRight") - 0.85) / 0.1, 0, 1)
        shown = self._shown_at_rest(rest)
        mouth = (np.abs(rest[:, 0]) < 0.035) & (height < -0.045) & (height > -0.1)
        self.inside = mouth & ~shown & (self._key("jawOpen", "mouthUpperUpLeft") > 0.05)
        self.tongue = ~shown & (self._key("tongueOut") > 0.3)
        self.scalp = (height > 0.062) | ((forward < -0.085) & (height > -0.06))
        chin = shown & (height < -0.052) & (height > -0.125) & (forward > -0.06)
        self.beard = chin & (self.lips < 0.3) & (np.abs(rest[:, 0]) < 0.06)

    def _shown_at_rest(
        self, rest: Float[np.ndarray, "vertices 3"]
    ) -> Bool[np.ndarray, " vertices"]:
        """Return which vertices are seen from the front of a face at rest."""
        camera = (rest - self.center) * (1, -1, -1) + (0, 0, 1)
        size = 4 * SIZE_PX
        pixels = camera[:, :2] / camera[:, 2:] * size * 3 + size / 2
        faces = visible_faces(pixels, camera[:, 2], self.faces, size, size).face
        shown = np.zeros(len(rest), bool)
        shown[self.faces[np.unique(faces[faces >= 0])]] = True
        return shown

    def person(self, rng: np.random.Generator) -> FacePerson:
        """Return a random person."""
        body = self.body
        shape = np.einsum("b,bvx->vx", random_betas(rng), body.shape_basis[:, self.vertices])
        rest = body.template[self.vertices]
        rest = rest + shape + _random_field(rest - self.center, rng)
        skin = np.array([0.86, 0.66, 0.55]) * rng.uniform(0.35, 1.05)
        hair = np.array([0.16, 0.11, 0.08]) * rng.uniform(0.5, 2.5)
        colors = np.tile(skin, (len(rest), 1))
        lip = skin * rng.uniform((0.75, 0.45, 0.45), (0.95, 0.8, 0.8))
        painted = [(self.lips, lip), (0.85 * self.brows, hair)]
        painted += [(rng.uniform(0, 0.9) * self.lashes, 0.4 * hair)]
        painted += [(1.0 * self.inside, np.array([0.10, 0.03, 0.03]))]
        painted += [(1.0 * self.tongue, np.array([0.55, 0.25, 0.25]))]
        if rng.random() < _HAIR:
            painted += [(1.0 * self.scalp, hair)]
        if rng.random() < _BEARD:
            growth = rng.uniform(0.4, 0.9) * rng.uniform(0.8, 1, len(rest))
            painted += [(growth * self.beard, hair)]
        for share, color in painted:
            colors = colors + share[:, None] * (color - colors)
        for eye in self.eyes.values():
            colors[eye] = 0.9
        return FacePerson(
            rest=rest,
            colors=colors,
            iris=rng.uniform(0.05, 0.5, 3),
            glasses=float(rng.uniform(0.002, 0.005) * (rng.random() < _GLASSES)),
        )

    def sample(self, rng: np.random.Generator, amount: float = 1.0) -> FaceSample:
        """Return a random face: sparse activations of the keys, paired sides often together.

        Args:
            rng: source of randomness.
            amount: factor of the activations, 0 for a face at rest.
        """
        names = self.body.arkit_names
        active = rng.random(len(names)) < _KEYS_AT_ONCE / len(names)
        arkit = np.where(active, rng.random(len(names)), 0.0)
        for row, name in enumerate(names):
            if name.endswith("Left") and rng.random() < 0.7:
                other = names.index(name.removesuffix("Left") + "Right")
                arkit[other] = arkit[row]
        exclude_opposites(arkit, names, rng)
        return FaceSample(arkit=amount * arkit, turn=random_turn(rng))

    def render(
        self, person: FacePerson, sample: FaceSample, rng: np.random.Generator
    ) -> FacePicture:
        """Render a picture of a face; light and blur are random."""
        points = person.rest + np.einsum("b,bvx->vx", sample.arkit, self.basis)
        eyes = {side: person.rest[eye].mean(axis=0) for side, eye in self.eyes.items()}
        center = (eyes["L"] + eyes["R"]) / 2 - (0, 0.025, 0)
        distance = rng.uniform(0.7, 1.6)
        size = SIZE_PX * _OVERSAMPLING
        focal = size * distance / rng.uniform(0.22, 0.28)

        def project(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            camera = (places - center) @ sample.turn.T + (0, 0, distance)
            return camera, camera[:, :2] / camera[:, 2:] * focal + size / 2

        camera, pixels = project(points)
        shown = visible_faces(pixels, camera[:, 2], self.faces, size, size)
        brightness = _brightness(camera, self.faces, rng)
        image = np.empty((size, size, 3))
        image[:] = cv2.resize(rng.uniform(0.1, 0.8, (4, 4, 3)), (size, size))
        row, column = np.nonzero(shown.face >= 0)
        corners = self.faces[shown.face[row, column]]
        weights = _barycentric(
            pixels[corners], camera[corners, 2], np.stack((column, row), axis=-1) + 0.5
        )
        painted = np.einsum("pc,pck->pk", weights, person.colors[corners])
        # Eyes are painted pixel by pixel: their few vertices would blur the iris.
        direction = np.einsum("pc,pck->pk", weights, self.eye_directions[corners])
        length = np.linalg.norm(direction, axis=1)
        angle = np.arccos(np.clip(direction[:, 2] / np.maximum(length, 1e-9), -1, 1))
        painted[(length > 0.5) & (angle < _IRIS)] = person.iris
        painted[(length > 0.5) & (angle < _PUPIL)] = 0.02
        image[row, column] = painted * np.einsum("pc,pc->p", weights, brightness[corners])[:, None]
        if person.glasses:
            _draw_glasses(image, eyes, person.glasses * focal / distance, project)
        image = cv2.resize(image, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA)
        if rng.random() < _SMALL:
            small = int(rng.integers(_SMALLEST_PX, SIZE_PX))
            image = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
            image = cv2.resize(image, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_LINEAR)
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.6))
        image += rng.normal(0, rng.uniform(0, 0.03), image.shape)
        return FacePicture(
            image=(255 * image.clip(0, 1)).astype(np.uint8),
            pixels=pixels / _OVERSAMPLING,
            sample=sample,
        )


def _draw_glasses(
    image: np.ndarray,
    eyes: dict[str, np.ndarray],
    width_px: float,
    project: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
) -> None:
    """Draw dark rims around the eyes, and the bridge, in place."""
    angles = np.linspace(0, 2 * np.pi, 40)[:, None]
    rim = 0.024 * np.cos(angles) * (1, 0, 0) + 0.019 * np.sin(angles) * (0, 1, 0) + (0, 0, 0.025)
    lines = [eye + rim for eye in eyes.values()]
    across = eyes["L"] - eyes["R"]
    lines += [eyes["R"] + across * np.array([[0.38], [0.62]]) + (0, 0.004, 0.027)]
    for line in lines:
        pixels = project(line)[1].round().astype(np.int32)
        cv2.polylines(image, [pixels], False, (0.05, 0.05, 0.06), max(1, round(width_px)))


def _brightness(
    camera: np.ndarray, faces: np.ndarray, rng: np.random.Generator
) -> Float[np.ndarray, " vertices"]:
    """Return the brightness of each vertex under two random lights."""
    normals = _normals(camera, faces)
    brightness = np.full(len(camera), rng.uniform(0.3, 0.5))
    for strength in (rng.uniform(0.4, 0.8), rng.uniform(0.0, 0.3)):
        light = np.array([rng.normal(0, 0.7), rng.normal(-0.5, 0.5), -1.0])
        light /= np.linalg.norm(light)
        brightness += strength * np.clip(normals @ light, 0, 1)
    return brightness


def _random_field(
    places: Float[np.ndarray, "vertices 3"], rng: np.random.Generator
) -> Float[np.ndarray, "vertices 3"]:
    """Return a smooth random displacement, the same on both sides of a head.

    A Gaussian process by random waves (Rahimi and Recht, "Random features for large-scale kernel
    machines", 2007), made symmetric.
    """
    waves = rng.normal(0, 1 / _FIELD_LENGTH, (_FIELD_WAVES, 3))
    phases = rng.uniform(0, 2 * np.pi, _FIELD_WAVES)
    heights = rng.normal(0, _FIELD_STD / np.sqrt(_FIELD_WAVES / 2), (_FIELD_WAVES, 3))
    mirror = np.array([-1, 1, 1])

    def field(at: np.ndarray) -> np.ndarray:
        return np.cos(at @ waves.T + phases) @ heights

    return (field(places) + field(places * mirror) * mirror) / np.sqrt(2)


def random_turn(rng: np.random.Generator) -> Float[np.ndarray, "3 3"]:
    """Return a rotation from the body's axes to the camera's of a head that faces the camera."""
    angles = rng.normal(0, (12, 20, 8)).clip(-45, 45)
    turn = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    return np.diag([1.0, -1, -1]) @ turn


def random_betas(rng: np.random.Generator) -> Float[np.ndarray, "16"]:
    """Return the shape of a random person."""
    return rng.normal(0, 0.8, 16).clip(-2, 2)


def exclude_opposites(arkit: np.ndarray, names: tuple[str, ...], rng: np.random.Generator) -> None:
    """Keep one of two keys that no face does at once, in place."""
    pairs = [("jawLeft", "jawRight"), ("mouthLeft", "mouthRight"), ("mouthPucker", "mouthFunnel")]
    for side in ("Left", "Right"):
        pairs += [
            (f"eyeLookIn{side}", f"eyeLookOut{side}"),
            (f"eyeLookUp{side}", f"eyeLookDown{side}"),
            (f"eyeBlink{side}", f"eyeWide{side}"),
            (f"mouthSmile{side}", f"mouthFrown{side}"),
            (f"browDown{side}", f"browOuterUp{side}"),
        ]
    for pair in pairs:
        dropped = pair[int(rng.random() < 0.5)]
        if all(arkit[names.index(name)] > 0 for name in pair):
            arkit[names.index(dropped)] = 0
    # mouthClose closes the lips over an open jaw, and tears them where the jaw is closed.
    close, jaw = names.index("mouthClose"), names.index("jawOpen")
    arkit[close] = min(arkit[close], arkit[jaw])
    arkit[names.index("tongueOut")] = 0  # no network sees it


def _normals(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return the outward unit normals of vertices."""
    first, second, third = points[faces].swapaxes(0, 1)
    of_faces = np.cross(second - first, third - first)
    normals = np.zeros_like(points)
    for corner in range(3):
        np.add.at(normals, faces[:, corner], of_faces)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def _barycentric(corners: np.ndarray, depths: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the weights of a face's corners at points of the picture, perspective-correct."""
    first, second, third = corners.swapaxes(0, 1)

    def area(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]

    whole = area(second - first, third - first)
    b = area(points - first, third - first) / whole
    c = area(second - first, points - first) / whole
    weights = np.stack((1 - b - c, b, c), axis=1).clip(0) / depths
    return weights / weights.sum(axis=1, keepdims=True)

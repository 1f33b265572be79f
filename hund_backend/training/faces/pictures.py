"""Close-ups of the body's own head with known ARKit coefficients, identity and turn.

The head is shaded by two lights over a plain background; eyes, lips and brows are painted by what
the face keys move, since the mesh has no textures.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from scipy.spatial.transform import Rotation

from ...body.file import BodyFile
from ...body.skeleton import JOINT_INDEX
from ...rendering.mesh_overlay import visible_faces

SIZE_PX = 256  # of a picture
_OVERSAMPLING = 2
_NECK_TOP = -0.16  # metres below the eyes, where the head ends
_IRIS, _PUPIL = np.radians((24.0, 11.0))  # radii seen from the center of the eye
_KEYS_AT_ONCE = 6  # mean number of active keys


@dataclass(frozen=True, kw_only=True)
class FaceSample:
    """What a picture shows."""

    arkit: Float[np.ndarray, "52"]
    betas: Float[np.ndarray, "16"]
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
        self.lips[np.abs(rest[:, 0]) > 0.03] = 0

    def sample(
        self,
        rng: np.random.Generator,
        betas: Float[np.ndarray, "16"] | None = None,
        amount: float = 1.0,
    ) -> FaceSample:
        """Return a random face: sparse activations of the keys, paired sides often together.

        Args:
            rng: source of randomness.
            betas: shape of the body; None: a random one.
            amount: factor of the activations, 0 for a face at rest.
        """
        names = self.body.arkit_names
        active = rng.random(len(names)) < _KEYS_AT_ONCE / len(names)
        arkit = np.where(active, rng.random(len(names)), 0.0)
        for row, name in enumerate(names):
            if name.endswith("Left") and rng.random() < 0.7:
                other = names.index(name.removesuffix("Left") + "Right")
                arkit[other] = arkit[row]
        _exclude(arkit, names, rng)
        angles = rng.normal(0, (12, 18, 8))
        turn = Rotation.from_euler("xyz", angles.clip(-45, 45), degrees=True).as_matrix()
        return FaceSample(
            arkit=amount * arkit,
            betas=random_betas(rng) if betas is None else betas,
            turn=np.diag([1.0, -1, -1]) @ turn,
        )

    def render(self, sample: FaceSample, rng: np.random.Generator) -> FacePicture:
        """Render a picture of a face; light, skin and blur are random."""
        body = self.body
        shape = np.einsum("b,bvx->vx", sample.betas, body.shape_basis[:, self.vertices])
        rest = body.template[self.vertices] + shape
        points = rest + np.einsum("b,bvx->vx", sample.arkit, self.basis)
        center = rest[np.concatenate(list(self.eyes.values()))].mean(axis=0) - (0, 0.025, 0)
        distance = rng.uniform(0.7, 1.6)
        camera = (points - center) @ sample.turn.T + (0, 0, distance)
        size = SIZE_PX * _OVERSAMPLING
        focal = size * distance / rng.uniform(0.22, 0.28)
        pixels = camera[:, :2] / camera[:, 2:] * focal + size / 2
        shown = visible_faces(pixels, camera[:, 2], self.faces, size, size)
        colors, brightness = self._colors(len(points), camera, rng)
        iris = rng.uniform(0.05, 0.5, 3)
        image = np.empty((size, size, 3))
        image[:] = cv2.resize(rng.uniform(0.1, 0.8, (4, 4, 3)), (size, size))
        row, column = np.nonzero(shown.face >= 0)
        corners = self.faces[shown.face[row, column]]
        weights = _barycentric(
            pixels[corners], camera[corners, 2], np.stack((column, row), axis=-1) + 0.5
        )
        painted = np.einsum("pc,pck->pk", weights, colors[corners])
        # Eyes are painted pixel by pixel: their few vertices would blur the iris.
        direction = np.einsum("pc,pck->pk", weights, self.eye_directions[corners])
        length = np.linalg.norm(direction, axis=1)
        angle = np.arccos(np.clip(direction[:, 2] / np.maximum(length, 1e-9), -1, 1))
        painted[(length > 0.5) & (angle < _IRIS)] = iris
        painted[(length > 0.5) & (angle < _PUPIL)] = 0.02
        image[row, column] = painted * np.einsum("pc,pc->p", weights, brightness[corners])[:, None]
        image = cv2.resize(image, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA)
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.6))
        image += rng.normal(0, rng.uniform(0, 0.03), image.shape)
        return FacePicture(
            image=(255 * image.clip(0, 1)).astype(np.uint8),
            pixels=pixels / _OVERSAMPLING,
            sample=sample,
        )

    def _colors(
        self, num_points: int, camera: np.ndarray, rng: np.random.Generator
    ) -> tuple[Float[np.ndarray, "vertices 3"], Float[np.ndarray, " vertices"]]:
        """Return the color and the brightness of each vertex."""
        skin = np.array([0.86, 0.66, 0.55]) * rng.uniform(0.35, 1.05)
        colors = np.tile(skin, (num_points, 1))
        lip = skin * np.array([0.85, 0.55, 0.55])
        colors += self.lips[:, None] * (lip - colors)
        hair = np.array([0.16, 0.11, 0.08]) * rng.uniform(0.5, 2.5)
        colors += 0.85 * self.brows[:, None] * (hair - colors)
        for eye in self.eyes.values():
            colors[eye] = 0.9
        normals = _normals(camera, self.faces)
        brightness = np.full(num_points, rng.uniform(0.3, 0.5))
        for strength in (rng.uniform(0.4, 0.8), rng.uniform(0.0, 0.3)):
            light = np.array([rng.normal(0, 0.7), rng.normal(-0.5, 0.5), -1.0])
            light /= np.linalg.norm(light)
            brightness += strength * np.clip(normals @ light, 0, 1)
        return colors, brightness


def random_betas(rng: np.random.Generator) -> Float[np.ndarray, "16"]:
    """Return the shape of a random person."""
    return rng.normal(0, 0.8, 16).clip(-2, 2)


def _exclude(arkit: np.ndarray, names: tuple[str, ...], rng: np.random.Generator) -> None:
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

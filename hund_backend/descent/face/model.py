"""Face model: MediaPipe's landmarks on the body's head, and how they answer to its ARKit keys."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from ...body.file import BodyFile, load_body_file
from ...errors import BadInputError
from ...perception.face.evidence import NUM_ARKIT, NUM_LANDMARKS
from ...weights_file import WEIGHTS, note_loaded

FACE_FILE = WEIGHTS / "face.npz"
SCHEMA = "hund-face/2"
NUM_TURN_TERMS = 5
NUM_IDENTITY = 16
IRISES = {"Right": range(468, 473), "Left": range(473, 478)}
EYE_CORNERS = {"Right": (33, 133), "Left": (362, 263)}
# Pairs of an upper and a lower lid's landmarks, at the middle of the eye.
LIDS = {
    "Right": ((159, 145), (158, 153), (160, 144)),
    "Left": ((386, 374), (385, 380), (387, 373)),
}
_STIFFNESS = 0.002  # metres that a key may move a landmark to have half the weight in alignment


@dataclass(frozen=True, kw_only=True)
class FaceModel:
    """Linear model of 478 landmarks; body axes (x left, y up, z forward), metres."""

    vertices: Int[np.ndarray, "478"]  # of the body's mesh, which the landmarks follow
    rest: Float[np.ndarray, "478 3"]  # landmarks of the mean head
    keys: Float[np.ndarray, "52 478 3"]  # displacement by each ARKit key
    names: tuple[str, ...]  # of the keys
    mirror: tuple[int, ...]  # key of the other side, itself where there is none
    turn_landmarks: Float[np.ndarray, "5 478 3"]
    """Error of the landmarks per turn term: the network flattens a face that turns."""
    turn_coefficients: Float[np.ndarray, "5 52"]  # the same of the blend shape network's numbers
    shares: Float[np.ndarray, "52 2"]
    """Weights of geometry and of the blend shape network in each key, learned on synthetic
    faces."""
    response: Float[np.ndarray, "52"]
    """How far the landmarks follow each key, as a share of the mesh's own way."""
    mean: Float[np.ndarray, "478 3"]  # landmarks of the mean face at rest, as the network sees it
    identity: Float[np.ndarray, "16 478 3"]
    """Principal displacements between people's faces at rest, by one standard deviation."""
    expressions: Float[np.ndarray, "52 20"]
    """The body's expression coefficients that move its skin most like each key."""

    @classmethod
    def load(cls, path: Path = FACE_FILE) -> "FaceModel":
        """Load the model and the body's keys.

        Raises:
            BadInputError: the file is missing or of another schema.
        """
        try:
            with path.open("rb") as opened, np.load(opened, allow_pickle=False) as stored:
                arrays = {key: stored[key] for key in stored.files}
            if str(arrays["schema"]) != SCHEMA:
                raise ValueError(f"schema {arrays['schema']}")
            model = make_model(
                arrays["vertices"].astype(np.int64),
                arrays["turn_landmarks"].astype(np.float64),
                arrays["turn_coefficients"].astype(np.float64),
                arrays["shares"].astype(np.float64),
                arrays["response"].astype(np.float64),
                arrays["mean"].astype(np.float64),
                arrays["identity"].astype(np.float64),
            )
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise BadInputError(
                f"The face file {path.name} cannot be read ({error}): install the extension or "
                "check out the project again."
            ) from None
        note_loaded(path)
        return model

    @property
    def seen_keys(self) -> Float[np.ndarray, "52 478 3"]:
        """Displacements of the landmarks by each key, as the landmark network shows them."""
        return self.keys * self.response[:, None, None]

    @property
    def stiffness(self) -> Float[np.ndarray, "478"]:
        """Weights of the landmarks in the head's alignment: what no key moves counts most."""
        moved = np.linalg.norm(self.keys, axis=-1).max(axis=0)
        weights = _STIFFNESS / (_STIFFNESS + moved)
        for iris in IRISES.values():
            weights[list(iris)] = 0
        return weights


def make_model(
    vertices: np.ndarray,
    turn_landmarks: np.ndarray | None = None,
    turn_coefficients: np.ndarray | None = None,
    shares: np.ndarray | None = None,
    response: np.ndarray | None = None,
    mean: np.ndarray | None = None,
    identity: np.ndarray | None = None,
) -> FaceModel:
    """Return the model whose landmarks are vertices of the body.

    Args:
        vertices: index of each landmark's vertex in the full mesh, (478,).
        turn_landmarks: see FaceModel; None: no error.
        turn_coefficients: as above.
        shares: see FaceModel; None: geometry alone.
        response: see FaceModel; None: all the way.
        mean: see FaceModel; None: the body's head.
        identity: see FaceModel; None: all faces are alike.
    """
    body = load_body_file()
    index = np.full(len(body.template), -1)
    index[body.face_vertices] = np.arange(len(body.face_vertices))
    moved = index[vertices] >= 0
    keys = np.zeros((NUM_ARKIT, NUM_LANDMARKS, 3))
    keys[:, moved] = body.arkit_basis[:, index[vertices[moved]]]
    names = body.arkit_names
    if turn_landmarks is None:
        turn_landmarks = np.zeros((NUM_TURN_TERMS, NUM_LANDMARKS, 3))
    if turn_coefficients is None:
        turn_coefficients = np.zeros((NUM_TURN_TERMS, NUM_ARKIT))
    if shares is None:
        shares = np.tile([1.0, 0.0], (NUM_ARKIT, 1))
    if response is None:
        response = np.ones(NUM_ARKIT)
    if mean is None:
        mean = body.template[vertices].astype(np.float64)
    if identity is None:
        identity = np.zeros((NUM_IDENTITY, NUM_LANDMARKS, 3))
    return FaceModel(
        vertices=vertices,
        rest=body.template[vertices].astype(np.float64),
        keys=keys,
        names=names,
        mirror=tuple(names.index(_other_side(name)) for name in names),
        turn_landmarks=turn_landmarks,
        turn_coefficients=turn_coefficients,
        shares=shares,
        response=response,
        mean=mean,
        identity=identity,
        expressions=expressions_of_keys(body),
    )


def expressions_of_keys(body: BodyFile) -> Float[np.ndarray, "52 20"]:
    """Return the coefficients of the body's expression basis nearest to each ARKit key.

    Least squares over all vertices that a face moves. The map is linear: a face's coefficients are
    its keys' activations times these rows.
    """
    basis, keys = (
        each.reshape(len(each), -1).astype(np.float64)
        for each in (body.expression_basis, body.arkit_basis)
    )
    return np.linalg.lstsq(basis.T, keys.T, rcond=None)[0].T


def _other_side(name: str) -> str:
    """Return the name of a key on the other side; the names are the person's own sides."""
    for side, other in (("Left", "Right"), ("Right", "Left")):
        if name.endswith(side):
            return name.removesuffix(side) + other
    return name


def turn_terms(turn: Float[np.ndarray, "frames 3 3"]) -> Float[np.ndarray, "frames 5"]:
    """Return yaw and pitch (radians), their squares and their product.

    Args:
        turn: rotations from the body's axes to the camera's.
    """
    forward = turn[:, :, 2]
    yaw = np.arctan2(forward[:, 0], -forward[:, 2])
    pitch = np.arcsin(np.clip(forward[:, 1], -1, 1))
    return np.stack((yaw, pitch, yaw**2, pitch**2, yaw * pitch), axis=1)
